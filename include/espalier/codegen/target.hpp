// What emitted C is built for: compiler, flags, forms of the kernels, and what runs the result. The
// rows stand in targets.cpp; whoever needs to know one of these things asks here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::codegen {

/// One row. A compiled folder carries its own in program.json.
struct Target {
  std::string name;                ///< `--target`
  std::string description;         ///< a few words for people
  std::string compiler_prefix;     ///< of gcc, ar and size; empty for the host's
  std::vector<std::string> flags;  ///< of the compiler, beside language_flags()
  std::vector<std::string>
      overlays;               ///< forms of the kernels that replace plain ones; the last wins
  bool float_unit = true;     ///< off: float arithmetic is done by routines of libgcc
  bool dot_product = false;   ///< the kernels use pm4adda.b, four int8 products at once
  bool load_dot = false;      ///< and esp.lwdota.b, the same with a load of one of the factors
  std::string linker_script;  ///< in hw/sw; empty: the compiler's own
  std::string machine;        ///< what `check` runs it on
  std::string isa;  ///< what a device's isa must begin with, see device::runs(); empty: RISC-V

  bool operator==(const Target&) const = default;
};

/// All rows, the host's first.
const std::vector<Target>& targets();

/// Null when there is no such row.
const Target* find_target(std::string_view name);

/// The row of that name, which must exist.
const Target& target_named(std::string_view name);

/// Flags that every target needs: the language, and sums and products rounded one by one, without
/// which a device no longer computes what the host measured.
const std::vector<std::string>& language_flags();

/// language_flags() and the target's: what the emitted sources are compiled with, wherever.
std::vector<std::string> compile_flags(const Target& target);

/// The Makefile of a compiled folder.
std::string makefile(const Target& target, std::string_view name);

/// `build` in program.json.
Json to_json(const Target& target);

/// Of `build` in program.json of a folder for the target of this name. kBadInput.
Result<Target> target_from_json(const Json& build, std::string_view name, std::string_view where);

}  // namespace espalier::codegen
