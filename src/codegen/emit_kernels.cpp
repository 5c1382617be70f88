// <name>_kernels.h: the kernels in use, and nothing else.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>

#include "dot_conditionals.hpp"
#include "emission.hpp"
#include "espalier/support/file.hpp"

namespace espalier::codegen {
namespace {

constexpr std::string_view kTurns = "espalier_turns.h";

// The text of a kernel or of a header it includes, in the form of the last overlay that has one,
// after what it includes itself. A kernel is there once in a file that holds several programs.
void append_source(const Target& target, const std::string& file, std::set<std::string>& emitted,
                   std::string& text) {
  if (!emitted.insert(file).second) return;
  const std::string_view source = runtime::source_of(file, target.overlays);
  std::istringstream lines{resolve_dot_conditionals(file, source, target.dot_product)};
  std::string body;
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kInclude = "#include \"";
    if (line.rfind(kInclude, 0) == 0) {
      append_source(target, line.substr(kInclude.size(), line.rfind('"') - kInclude.size()),
                    emitted, text);
    } else {
      body += line + '\n';
    }
  }
  if (!file.ends_with(".c")) {
    text += body;
    return;
  }
  std::string guard = "ESP_HAS_" + file.substr(0, file.size() - 2);
  std::ranges::transform(guard, guard.begin(), [](unsigned char c) { return std::toupper(c); });
  text += fmt::format("\n#ifndef {0}\n#define {0}\n{1}#endif\n", guard, body);
}

// Programs whose kernels are one and the same, so that either's serve both: in the form of the same
// overlays, of the same version.
std::string form_of(const Target& target) {
  std::string all = fmt::format("{} {}\n", fmt::join(target.overlays, " "), target.dot_product);
  for (const auto& [file, text] : runtime::runtime_sources()) {
    if (file != kTurns) all += text;  // no part of any kernel
  }
  return sha256_hex(all).substr(0, 16);
}

// Stops a file that includes programs whose kernels differ.
std::string form_check(const Emission& c) {
  std::string text = fmt::format(
      "#ifndef ESP_KERNELS_FORM\n#define ESP_KERNELS_FORM 0x{0}ull\n"
      "#elif ESP_KERNELS_FORM != 0x{0}ull\n"
      "#error \"programs of one file need one --target, one --kernels and one version of "
      "Espalier\"\n"
      "#endif\n",
      form_of(c.options.target));
  if (!compiler::is_integer(c.program.graph)) return text;
  return text +
         fmt::format(
             "#ifndef ESP_GRADIENT_BITS\n#define ESP_GRADIENT_BITS {0}\n"
             "#elif ESP_GRADIENT_BITS != {0}\n"
             "#error \"programs of one file need gradients of one --gradient-bits\"\n#endif\n",
             c.program.graph.gradient == compiler::Element::kInt16 ? 16 : 8);
}

}  // namespace

std::string kernels_text(const Emission& c) {
  const auto& sources = runtime::runtime_sources();
  std::string text = c.banner("the kernels in use");
  text += fmt::format("#define {}_KERNELS_HASH 0x{}ull\n", c.macro, kHashPlaceholder);
  std::string types(sources.at("espalier_runtime.h"));
  text += types;
  std::set<std::string> emitted{"espalier_runtime.h"};
  const bool integer = compiler::is_integer(c.program.graph);
  if (integer) append_source(c.options.target, "espalier_integer_types.h", emitted, text);
  text += "\n#ifndef ESP_TYPES_ONLY\n" + form_check(c);
  for (const runtime::Kernel kernel : c.kernels()) {
    append_source(c.options.target, runtime::source_file(kernel), emitted, text);
  }
  if (!c.program.graph.chains.empty()) {
    append_source(c.options.target, "espalier_rows.h", emitted, text);
  }
  if (c.replay.samples > 0) append_source(c.options.target, "espalier_replay.h", emitted, text);
  if (!c.calls.turns.empty()) {
    append_source(c.options.target, std::string(kTurns), emitted, text);
  }
  text += "\n#endif\n";
  return text;
}

}  // namespace espalier::codegen
