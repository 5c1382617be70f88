#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <sstream>
#include <stdexcept>

#include "espalier/codegen/target.hpp"
#include "flag_files.hpp"

namespace espalier::codegen {
namespace {

constexpr const char* kStandard = "-std=c99";

// The flags in a file of flags/, which hw/sw/build.sh hands to the compiler as it is.
std::vector<std::string> flags_of(std::string_view file) {
  std::istringstream words{std::string(flag_files().at(fmt::format("flags/{}", file)))};
  return {std::istream_iterator<std::string>(words), {}};
}

// A Cortex-M. Blocked kernels have more live values than its registers, and still win.
Target arm(std::string name, std::string description, std::vector<std::string> flags,
           std::vector<std::string> overlays, std::string machine, std::string isa) {
  const bool float_unit = std::find(flags.begin(), flags.end(), "-mfloat-abi=soft") == flags.end();
  flags.insert(flags.begin(), "-mthumb");
  flags.emplace_back("--specs=nosys.specs");
  return {.name = std::move(name),
          .description = std::move(description),
          .compiler_prefix = "arm-none-eabi-",
          .flags = std::move(flags),
          .overlays = std::move(overlays),
          .float_unit = float_unit,
          .dot_product = false,
          .linker_script = "link_arm.ld",
          .machine = std::move(machine),
          .isa = std::move(isa)};
}

Result<std::vector<std::string>> texts(const Json& build, const char* key, std::string_view where) {
  ESPALIER_TRY(const Json list, json_field<Json>(build, key, where));
  const bool all_texts =
      list.is_array() &&
      std::all_of(list.begin(), list.end(), [](const Json& j) { return j.is_string(); });
  if (!all_texts) {
    return Error{ErrorKind::kBadInput, fmt::format("{}: '{}' must be a list of texts", where, key)};
  }
  return list.get<std::vector<std::string>>();
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> rows{
      {.name = "host",
       .description = "this machine's compiler, plain kernels",
       .compiler_prefix = "",
       .flags = {},
       .overlays = {},
       .float_unit = true,
       .dot_product = false,
       .linker_script = "",
       .machine = "host"},
      {.name = "rv32imf",
       .description = "RISC-V with a float unit",
       .compiler_prefix = "riscv64-unknown-elf-",
       .flags = flags_of("rv32imf"),
       .overlays = {"blocked"},
       .float_unit = true,
       .dot_product = false,
       .linker_script = "link.ld",
       .machine = "core"},
      {.name = "rv32imf+pm4adda.b",
       .description = "the same with the packed int8 dot product of the draft P extension",
       .compiler_prefix = "riscv64-unknown-elf-",
       .flags = flags_of("rv32imf"),
       .overlays = {"blocked"},
       .float_unit = true,
       .dot_product = true,
       .linker_script = "link.ld",
       .machine = "core"},
      {.name = "rv32imf+pm4adda.b+lwdota.b",
       .description = "the same with the dot product fused with a load, as the core here has it",
       .compiler_prefix = "riscv64-unknown-elf-",
       .flags = flags_of("rv32imf"),
       .overlays = {"blocked", "lwdot"},
       .float_unit = true,
       .dot_product = true,
       .load_dot = true,
       .linker_script = "link.ld",
       .machine = "core"},
      {.name = "rv32im",
       .description = "RISC-V without a float unit, such as the ESP32-C3; floats in software",
       .compiler_prefix = "riscv64-unknown-elf-",
       // rv32im_zicsr would pick a C library that does not exist; the older ISA includes Zicsr.
       .flags = flags_of("rv32im"),
       .overlays = {"blocked"},
       .float_unit = false,
       .dot_product = false,
       .linker_script = "link.ld",
       .machine = "core"},
      arm("cortex-m0plus", "Arm without a float unit; floats in software, run on an emulated M3",
          {"-mcpu=cortex-m0plus", "-mfloat-abi=soft"}, {"blocked"}, "mps2-an385", "armv"),
      arm("cortex-m4f", "Arm Cortex-M4 with a float unit",
          {"-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"}, {"blocked", "armdsp"},
          "mps2-an386", "armv7e-m+fp"),
      arm("cortex-m7", "Arm Cortex-M7 with a float unit, such as the STM32F746",
          {"-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"}, {"blocked", "armdsp"},
          "mps2-an500", "armv7e-m+fpv5"),
      arm("cortex-m33", "Arm Cortex-M33 with a float unit",
          {"-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"}, {"blocked", "armdsp"},
          "mps2-an505", "armv8-m.main+fp"),
      arm("cortex-m55", "Arm Cortex-M55 with vectors", {"-mcpu=cortex-m55", "-mfloat-abi=hard"},
          {"blocked", "armdsp", "mve"}, "mps3-an547", "armv8.1-m.main+mve.fp"),
  };
  return rows;
}

const Target* find_target(std::string_view name) {
  const auto& rows = targets();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Target& target) { return target.name == name; });
  return row == rows.end() ? nullptr : &*row;
}

const Target& target_named(std::string_view name) {
  const Target* target = find_target(name);
  if (target == nullptr) throw std::logic_error(fmt::format("no target {}", name));
  return *target;
}

const std::vector<std::string>& language_flags() {
  static const std::vector<std::string> flags = [] {
    std::vector<std::string> all = flags_of("language");
    all.insert(all.begin(), kStandard);
    return all;
  }();
  return flags;
}

std::vector<std::string> compile_flags(const Target& target) {
  std::vector<std::string> flags = language_flags();
  flags.insert(flags.end(), target.flags.begin(), target.flags.end());
  return flags;
}

std::string makefile(const Target& target, std::string_view name) {
  const std::string& optimise = language_flags()[1];
  const std::span<const std::string> others = std::span(language_flags()).subspan(2);
  return fmt::format(
      R"(# Builds lib{0}.a. For another compiler: make CC=arm-none-eabi-gcc AR=arm-none-eabi-ar TARGET_FLAGS=...
CC = {1}gcc
AR = {1}ar
TARGET_FLAGS = {2}
CFLAGS = {3} {4} -Wall -Wextra -Werror
# Without this a compiler may fuse products and sums, and the device no longer computes what the
# host measured.
override CFLAGS += {5} $(TARGET_FLAGS)

lib{0}.a: {0}.o {0}_params.o
	$(AR) rcs $@ $^

{0}.o: {0}.c {0}.h {0}_params.h {0}_kernels.h
{0}_params.o: {0}_params.c {0}_params.h {0}_kernels.h

.PHONY: clean
clean:
	rm -f lib{0}.a {0}.o {0}_params.o
)",
      name, target.compiler_prefix, fmt::join(target.flags, " "), kStandard, optimise,
      fmt::join(others, " "));
}

Json to_json(const Target& target) {
  return {{"compiler_prefix", target.compiler_prefix},
          {"flags", compile_flags(target)},
          {"overlays", target.overlays},
          {"float_unit", target.float_unit},
          {"dot_product", target.dot_product},
          {"load_dot", target.load_dot},
          {"linker_script", target.linker_script},
          {"machine", target.machine},
          {"isa", target.isa}};
}

Result<Target> target_from_json(const Json& build, std::string_view name, std::string_view where) {
  Target target;
  target.name = name;
  ESPALIER_TRY(target.compiler_prefix, json_field<std::string>(build, "compiler_prefix", where));
  ESPALIER_TRY(target.flags, texts(build, "flags", where));
  ESPALIER_TRY(target.overlays, texts(build, "overlays", where));
  ESPALIER_TRY(target.float_unit, json_field<bool>(build, "float_unit", where));
  ESPALIER_TRY(target.dot_product, json_field<bool>(build, "dot_product", where));
  if (build.contains("load_dot")) {  // folders of earlier versions lack it
    ESPALIER_TRY(target.load_dot, json_field<bool>(build, "load_dot", where));
  }
  ESPALIER_TRY(target.linker_script, json_field<std::string>(build, "linker_script", where));
  ESPALIER_TRY(target.machine, json_field<std::string>(build, "machine", where));
  ESPALIER_TRY(target.isa, json_field<std::string>(build, "isa", where));
  // The language's flags are in the document, so that it says all of them.
  for (const std::string& flag : language_flags()) {
    const auto found = std::find(target.flags.begin(), target.flags.end(), flag);
    if (found == target.flags.end()) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: 'flags' lack {}; compile the folder again", where, flag)};
    }
    target.flags.erase(found);
  }
  return target;
}

}  // namespace espalier::codegen
