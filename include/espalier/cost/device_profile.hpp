// What a plan must fit into: `espalier.device/1`, one file per part in profiles/devices.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::cost {

inline constexpr std::string_view kDeviceSchema = "espalier.device/1";

/// A microcontroller as a target of training.
struct DeviceProfile {
  std::string name;                         ///< such as "stm32f746"; the file's name
  std::string description;                  ///< one sentence for people
  std::string isa;                          ///< as compilers spell it, such as "rv32imc"
  Bytes sram;                               ///< all data memory
  Bytes flash;                              ///< all code and constant memory
  std::int64_t clock_hz = 0;                ///< highest clock
  std::optional<std::uint32_t> sram_base;   ///< address of the first byte
  std::optional<std::uint32_t> flash_base;  ///< address of the first byte

  bool operator==(const DeviceProfile&) const = default;
};

Json to_json(const DeviceProfile& device);

/// Reads a profile. kBadInput lists every missing, mistyped or non-positive member.
Result<DeviceProfile> device_from_json(const Json& document, std::string_view where = "device");

/// device_from_json() of a file. Errors also as read_json().
Result<DeviceProfile> load_device(const std::filesystem::path& path);

}  // namespace espalier::cost
