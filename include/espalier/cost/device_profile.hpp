// What a plan must fit into: `espalier.device/1`, one file per part in profiles/devices.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::cost {

inline constexpr std::string_view kDeviceSchema = "espalier.device/1";

/// One bank of data memory.
struct MemoryRegion {
  std::string name;
  std::uint32_t base = 0;
  Bytes bytes;
  bool operator==(const MemoryRegion&) const = default;
};

/// A microcontroller as a target of training: what a program is held against, and what the
/// simulated system is given.
struct DeviceProfile {
  std::string name;                         ///< such as "stm32f746"; the file's name
  std::string description;                  ///< one sentence for people
  std::string isa;                          ///< as compilers spell it, such as "rv32imc"
  Bytes sram;                               ///< the largest data memory of consecutive addresses
  Bytes flash;                              ///< all code and constant memory
  std::int64_t clock_hz = 0;                ///< highest clock
  std::optional<std::uint32_t> sram_base;   ///< address of the first byte
  std::optional<std::uint32_t> flash_base;  ///< address of the first byte

  /// Whether `isa` is 32-bit RISC-V with this extension: a letter, or a name behind a plus.
  [[nodiscard]] bool has_extension(std::string_view extension) const;

  std::string target;  ///< of `compile --target`; empty: there is none
  std::vector<MemoryRegion>
      sram_regions;    ///< that data memory is made of, tightly coupled ones too
  std::string source;  ///< of the figures

  bool operator==(const DeviceProfile&) const = default;
};

/// The profiles of profiles/devices, by name, as they were when this was built.
const std::vector<DeviceProfile>& shipped_devices();

/// That of the simulated core.
const DeviceProfile& espalier_core();

Json to_json(const DeviceProfile& device);

/// Reads a profile. kBadInput lists every missing, mistyped or non-positive member.
Result<DeviceProfile> device_from_json(const Json& document, std::string_view where = "device");

/// device_from_json() of a file. Errors also as read_json().
Result<DeviceProfile> load_device(const std::filesystem::path& path);

/// A shipped device by its name, otherwise load_device() of a file. kUsage lists the names when it
/// is neither.
Result<DeviceProfile> find_device(const std::string& name_or_path);

}  // namespace espalier::cost
