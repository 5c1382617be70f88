// The constants of a compiled program: descriptors, requantisation, frozen weights and the starting
// values of trained ones, item by item, in the order in which the emitted C declares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/compiler/compile.hpp"

namespace espalier::codegen {

enum class FlashRole : std::uint8_t {
  kConv,            ///< esp_conv
  kAdd,             ///< esp_add
  kPool,            ///< esp_pool
  kHead,            ///< esp_head
  kMultiplier,      ///< int32 [out]
  kBias,            ///< int32 [out]
  kFactor,          ///< float [out]: s_x * s_w / s_y
  kWeightScale,     ///< float [out]: 1 / s_w^2, the quantisation-aware scaling
  kBiasScale,       ///< float [out]: 1 / (s_x * s_w)^2
  kHeadWeights,     ///< float [classes][features]
  kHeadBias,        ///< float [classes]
  kChannels,        ///< int16 [trained channels]
  kShift,           ///< uint8 [out]
  kWeights,         ///< int8 [out][tap][in / groups], zero where SRAM holds them
  kTrainedWeights,  ///< int8, starting values of sliced weights
};

/// What an item is in C.
enum class FlashType : std::uint8_t { kStruct, kFloat, kInt32, kInt16, kUint8, kInt8 };
FlashType flash_type(FlashRole role);

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
  /// Null when there is no such item.
  [[nodiscard]] const FlashItem* find(FlashRole role, int op) const;
};

FlashLayout flash_layout(const compiler::Program& program);

/// The bytes of all items, in the byte order of the host (little endian on every target). The head
/// starts as in the forward graph.
std::vector<std::byte> flash_image(const compiler::Program& program, const FlashLayout& layout);

}  // namespace espalier::codegen
