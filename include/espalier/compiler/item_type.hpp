// The types of what the emitted C declares.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace espalier::compiler {

/// kRange: the esp_q_range of the runtime.
enum class ItemType : std::uint8_t { kFloat, kInt32, kRange, kInt16, kUint8, kInt8 };

inline std::int64_t type_bytes(ItemType type) {
  switch (type) {
    case ItemType::kFloat:
    case ItemType::kInt32:
    case ItemType::kRange:
      return 4;
    case ItemType::kInt16:
      return 2;
    case ItemType::kUint8:
    case ItemType::kInt8:
      return 1;
  }
  throw std::logic_error("unknown type of item");
}

inline std::string_view c_type(ItemType type) {
  switch (type) {
    case ItemType::kFloat:
      return "float";
    case ItemType::kInt32:
      return "int32_t";
    case ItemType::kRange:
      return "esp_q_range";
    case ItemType::kInt16:
      return "int16_t";
    case ItemType::kUint8:
      return "uint8_t";
    case ItemType::kInt8:
      return "int8_t";
  }
  throw std::logic_error("unknown type of item");
}

}  // namespace espalier::compiler
