// Compilers for tests of what goes on around a program: they optimise little or not at all, which
// is most of what building a program with blocked kernels takes. The slow tier has the real ones
// throughout.
#pragma once

#include <string>

namespace espalier::testing {

/// The path of a tool that calls the one of this name ("cc", "riscv64-unknown-elf-gcc",
/// "arm-none-eabi-gcc"), compilers with less optimisation behind their
/// other flags. Frames may be larger.
[[nodiscard]] std::string quick_tool(const std::string& name);

inline std::string quick_compiler(const std::string& name) {
#ifdef ESPALIER_SLOW_TESTS
  return name;
#else
  return quick_tool(name);
#endif
}

/// A flag for builds with the real compiler in which it matters little what is inlined: a call for
/// every part of a blocked kernel, instead of all of them in each of its forms.
#ifdef ESPALIER_SLOW_TESTS
inline constexpr const char* kFewForms = "";
#else
inline constexpr const char* kFewForms = "-Dalways_inline=unused";
#endif

}  // namespace espalier::testing
