// The constants of a compiled program: descriptors, requantisation, frozen weights and the starting
// values of trained ones, item by item, in the order in which the emitted C declares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/compiler/compile.hpp"

namespace espalier::codegen {

enum class FlashRole : std::uint8_t {
#define ESPALIER_FLASH_STRUCT(role, type, description) role,
#define ESPALIER_FLASH_ITEM(role, element, suffix, description) role,
#include "espalier/codegen/flash_items.def"
#undef ESPALIER_FLASH_ITEM
#undef ESPALIER_FLASH_STRUCT
};

/// What an item is in C.
struct FlashKind {
  std::string_view c_type;                 ///< of an element
  std::int64_t bytes = 0;                  ///< of an element
  std::optional<compiler::ItemType> type;  ///< absent for descriptors, which are structs
  std::string_view suffix;                 ///< of its name, behind that of the op
};
const FlashKind& flash_kind(FlashRole role);

struct FlashItem {
  FlashRole role{};
  int op = -1;
  std::int64_t elements = 1;  ///< structs: 1
  std::int64_t bytes = 0;     ///< a multiple of 4; what exceeds the elements is zero
  std::int64_t offset = 0;
};

struct FlashLayout {
  std::vector<FlashItem> items;
  std::int64_t bytes = 0;
  /// Where what is written at run time begins, which stands behind all else; `bytes` without any.
  std::int64_t turns_offset = 0;
  [[nodiscard]] std::int64_t turn_bytes() const { return bytes - turns_offset; }
  /// Null when there is no such item.
  [[nodiscard]] const FlashItem* find(FlashRole role, int op) const;
};

/// True for what is written at run time.
inline bool takes_turns(FlashRole role) {
  return role == FlashRole::kTurnBegun || role == FlashRole::kTurnWeights ||
         role == FlashRole::kTurnDone;
}

/// Slopes of a table as 16-bit integers are in units of 2^-slope_unit.
int slope_unit(const ir::Lookup& lookup);

FlashLayout flash_layout(const compiler::Program& program);

/// The bytes of all items, in the byte order of the host (little endian on every target). The head
/// starts as in the forward graph.
std::vector<std::byte> flash_image(const compiler::Program& program, const FlashLayout& layout);

}  // namespace espalier::codegen
