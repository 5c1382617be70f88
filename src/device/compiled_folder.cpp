#include "compiled_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "espalier/support/file.hpp"
#include "espalier/support/json.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

// The value that the emitted header gives to a name, which program.json must agree with.
Status agree(const std::string& header, const Folder& folder, std::string_view key,
             std::int64_t value, const std::string& where) {
  std::string macro = folder.name + "_" + std::string(key);
  std::transform(macro.begin(), macro.end(), macro.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const std::size_t at = header.find("#define " + macro + " ");
  if (at != std::string::npos) {
    const std::int64_t there = std::strtoll(header.c_str() + at + 9 + macro.size(), nullptr, 10);
    if (there == value) return Ok{};
  }
  return Error{
      ErrorKind::kBadInput,
      fmt::format("{}: '{}' is {}, which {} in {}.h does not say; compile the folder again", where,
                  key, value, macro, folder.name)};
}

// Compilers hold the sources against each other; this holds the documents against them.
Status one_program(const Folder& folder, const std::string& header, const std::string& program,
                   const std::string& plan) {
  if (header.find(fmt::format("_PROGRAM_HASH 0x{}ull", program)) == std::string::npos) {
    return Error{
        ErrorKind::kBadInput,
        fmt::format("{}: 'program_hash' is {}, which {}.h does not say: the files come from "
                    "different programs; compile the folder again",
                    (folder.path / "program.json").string(), program, folder.name)};
  }
  ESPALIER_TRY(const std::string text, read_file(folder.path / "plan.json"));
  if (sha256_hex(text) == plan) return Ok{};
  return Error{
      ErrorKind::kBadInput,
      fmt::format("{}: is not the plan that the folder was compiled from, by 'plan_sha256' "
                  "in program.json; compile the folder again",
                  (folder.path / "plan.json").string())};
}

// Names of the arrays that the plan trains.
Result<std::set<std::string>> trained_arrays(const Json& trained, const std::string& where) {
  std::set<std::string> names{"head_weights", "head_bias"};
  for (const Json& entry : trained) {
    ESPALIER_TRY(const auto conv, json_field<std::int64_t>(entry, "conv", where));
    ESPALIER_TRY(const auto bias, json_field<bool>(entry, "bias", where));
    ESPALIER_TRY(const auto channels, json_field<std::int64_t>(entry, "weight_channels", where));
    if (bias) names.insert(array_name("bias", conv));
    if (channels > 0) names.insert(array_name("weights", conv));
  }
  return names;
}

constexpr std::string_view kTurnsArray = "turns";

// What flash holds that a change of turn writes.
Status read_turns(const Json& json, const std::string& header, const std::string& where,
                  Folder& folder) {
  if (!json.contains("turns")) return Ok{};
  ESPALIER_TRY(const Json turns, json_field<Json>(json, "turns", where));
  ESPALIER_TRY(const auto bytes, json_field<std::int64_t>(turns, "bytes", where + ": turns"));
  ESPALIER_CHECK_OK(agree(header, folder, "turn_bytes", bytes, where));
  if (bytes < 0 || bytes > kLargestSize) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: 'turns': 'bytes' must lie in 0..{}", where, kLargestSize)};
  }
  folder.turn_bytes = bytes;
  if (bytes > 0) folder.trained.insert(std::string(kTurnsArray));
  return Ok{};
}

// What the firmware has in SRAM beside the program.
Status read_replay(const Json& json, const std::string& header, const std::string& where,
                   Folder& folder) {
  if (!json.contains("replay")) return Ok{};
  ESPALIER_TRY(const Json replay, json_field<Json>(json, "replay", where));
  ESPALIER_TRY(folder.replay, json_field<std::int64_t>(replay, "bytes", where + ": replay"));
  ESPALIER_CHECK_OK(agree(header, folder, "replay_bytes", folder.replay, where));
  if (folder.replay >= 1 && folder.replay <= kLargestSize) return Ok{};
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: 'replay': 'bytes' must lie in 1..{}", where, kLargestSize)};
}

}  // namespace

std::string array_name(std::string_view what, std::int64_t conv) {
  const bool whole = what.starts_with("head") || what == kTurnsArray;
  return whole ? std::string(what) : fmt::format("conv {} {}", conv, what);
}

Result<Json> read_program(const fs::path& file) {
  Result<Json> program = read_json(file, "espalier.program/1");
  if (program.ok() || program.error().kind != ErrorKind::kMissingInput) return program;
  return Error{ErrorKind::kMissingInput,
               program.error().message() + "; name a folder that espalier compile wrote"};
}

Result<Folder> read_folder(const fs::path& path) {
  const std::string where = (path / "program.json").string();
  ESPALIER_TRY(const Json json, read_program(path / "program.json"));
  Folder folder;
  folder.path = fs::absolute(path);
  ESPALIER_TRY(folder.name, json_field<std::string>(json, "name", where));
  ESPALIER_TRY(const std::string target, json_field<std::string>(json, "target", where));
  ESPALIER_TRY(const Json build, json_field<Json>(json, "build", where));
  ESPALIER_TRY(folder.target, codegen::target_from_json(build, target, where));
  ESPALIER_TRY(folder.sram, json_field<std::int64_t>(json, "sram_bytes", where));
  ESPALIER_TRY(folder.state, json_field<std::int64_t>(json, "state_bytes", where));
  ESPALIER_TRY(folder.arena, json_field<std::int64_t>(json, "arena_bytes", where));
  ESPALIER_TRY(folder.extern_arena, json_field<bool>(json, "extern_arena", where));
  ESPALIER_TRY(folder.parameters, json_field<std::int64_t>(json, "parameter_bytes", where));
  ESPALIER_TRY(folder.input_bytes, json_field<std::int64_t>(json, "input_bytes", where));
  ESPALIER_TRY(folder.classes, json_field<std::int64_t>(json, "classes", where));
  ESPALIER_TRY(folder.features, json_field<std::int64_t>(json, "features", where));
  ESPALIER_TRY(folder.convs, json_field<std::int64_t>(json, "convs", where));
  ESPALIER_TRY(folder.accumulate, json_field<std::int64_t>(json, "accumulate", where));
  ESPALIER_TRY(const std::string plan, json_field<std::string>(json, "plan_sha256", where));
  ESPALIER_TRY(const std::string program, json_field<std::string>(json, "program_hash", where));
  ESPALIER_TRY(const Json kernels, json_field<Json>(json, "kernel_macs", where));
  ESPALIER_TRY(const Json recorded, json_field<Json>(json, "recorded", where));
  ESPALIER_TRY(folder.recorded, codegen::recorded_steps_from_json(recorded, where));
  ESPALIER_TRY(const Json trained, json_field<Json>(json, "trained", where));
  const bool identifier =
      !folder.name.empty() && std::all_of(folder.name.begin(), folder.name.end(), [](char c) {
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
      });
  if (!identifier || !kernels.is_object() || !trained.is_array()) {
    return Error{ErrorKind::kBadInput,
                 where + ": not as `espalier compile` writes it; compile the folder again"};
  }
  for (const auto& [kernel, macs] : kernels.items()) {
    if (macs.is_number()) folder.macs[kernel] = macs.get<double>();
  }
  for (const char* suffix : {".c", ".h", "_params.c", "_params.h", "_kernels.h"}) {
    if (!fs::exists(folder.path / (folder.name + suffix))) {
      return Error{ErrorKind::kMissingInput, fmt::format("{}: not there; compile the folder again",
                                                         (path / (folder.name + suffix)).string())};
    }
  }
  ESPALIER_TRY(folder.trained, trained_arrays(trained, where));
  ESPALIER_TRY(const std::string header, read_file(folder.path / (folder.name + ".h")));
  ESPALIER_CHECK_OK(one_program(folder, header, program, plan));
  ESPALIER_CHECK_OK(read_turns(json, header, where, folder));
  ESPALIER_CHECK_OK(read_replay(json, header, where, folder));
  const std::pair<const char*, std::int64_t> said[] = {
      {"sram_bytes", folder.sram},      {"parameter_bytes", folder.parameters},
      {"classes", folder.classes},      {"input_bytes", folder.input_bytes},
      {"features", folder.features},    {"convs", folder.convs},
      {"state_bytes", folder.state},    {"arena_bytes", folder.arena},
      {"accumulate", folder.accumulate}};
  for (const auto& [key, value] : said) {
    ESPALIER_CHECK_OK(agree(header, folder, key, value, where));
    // A classifier of the input alone has no convolution.
    const std::int64_t least = std::string_view(key) == "convs" ? 0 : 1;
    if (value < least || value > kLargestSize) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: '{}' must lie in {}..{}", where, key, least, kLargestSize)};
    }
  }
  return folder;
}

}  // namespace espalier::device
