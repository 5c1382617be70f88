// What a trained network keeps in SRAM across steps, item by item, in the order in which the
// emitted C declares it: one block, and all that saving and restoring need.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/compiler/item_type.hpp"
#include "espalier/compiler/training_graph.hpp"

namespace espalier::compiler {

enum class StateRole : std::uint8_t {
#define ESPALIER_STATE_ITEM(role, element, suffix, after_update, description) role,
#include "espalier/compiler/state_items.def"
#undef ESPALIER_STATE_ITEM
};

/// The type of an item's elements.
ItemType state_type(StateRole role);
/// The name in C behind that of the op; without underscore the whole name.
std::string_view state_suffix(StateRole role);
/// True for the sums of gradients, which start again after an update.
bool is_cleared(StateRole role);

/// The sums of gradients of biases and of weights, in float or of integer gradients.
StateRole bias_sum(bool integer);
StateRole weight_sum(bool integer);

struct StateItem {
  StateRole role{};
  int op = -1;  ///< position in the forward graph; -1: head
  std::int64_t elements = 0;
  std::int64_t offset = 0;  ///< from the start of the items, a multiple of 4
  [[nodiscard]] std::int64_t bytes() const { return elements * type_bytes(state_type(role)); }
};

/// What stands in front of the items.
struct StateControl {
  float rate = 0;            ///< learning rate per sample
  std::uint32_t seed = 0;    ///< of stochastic rounding
  std::uint32_t step = 0;    ///< updates so far
  std::int32_t waiting = 0;  ///< samples since the last update, and 1; 0 before reset
  float loss = 0;            ///< of the last sample
};
inline constexpr std::int64_t kControlBytes = sizeof(StateControl);
static_assert(kControlBytes == 20);

struct StateLayout {
  std::vector<StateItem> items;
  std::int64_t bytes = 0;  ///< control and items
  /// Null when there is no such item.
  [[nodiscard]] const StateItem* find(StateRole role, int op) const;
};

StateLayout state_layout(const TrainingGraph& graph);

}  // namespace espalier::compiler
