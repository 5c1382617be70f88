// A folder that `espalier compile` wrote, as its program.json describes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "espalier/codegen/recorded_steps.hpp"
#include "espalier/codegen/target.hpp"
#include "espalier/support/result.hpp"

namespace espalier::device {

/// Of anything that program.json counts; more fits no memory of the simulated system.
inline constexpr std::int64_t kLargestSize = std::int64_t{1} << 28;

struct Folder {
  std::filesystem::path path;   ///< absolute
  std::string name;             ///< prefix of files and symbols
  codegen::Target target;       ///< with the flags that the folder carries
  std::int64_t sram = 0;        ///< bytes, without stack
  std::int64_t state = 0;       ///< bytes, of these, that are kept across steps
  std::int64_t arena = 0;       ///< bytes, of these, that values of one step take
  bool extern_arena = false;    ///< the driver gives the arena
  std::int64_t replay = 0;      ///< bytes that the firmware gives to keep samples in; no check does
  std::int64_t parameters = 0;  ///< bytes of constants
  /// Bytes of these that a change of turn writes; absent where no channels take turns.
  std::optional<std::int64_t> turn_bytes;
  std::int64_t input_bytes = 0;
  std::int64_t classes = 0;
  std::int64_t features = 0;
  std::int64_t convs = 0;
  std::int64_t accumulate = 1;         ///< samples an update
  std::map<std::string, double> macs;  ///< by kernel, of one step
  std::set<std::string> trained;       ///< names of the arrays of parameters that a step changes
  codegen::RecordedSteps recorded;     ///< by the host engine when it was compiled
};

/// Name of an array of parameters: `conv 6 weights`, `head_bias`.
std::string array_name(std::string_view what, std::int64_t conv);

/// Reads and checks program.json: what it counts must be what the header says. kMissingInput when a
/// file is not there, kBadInput when it is not as `espalier compile` writes it.
Result<Folder> read_folder(const std::filesystem::path& path);

}  // namespace espalier::device
