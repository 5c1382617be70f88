// <name>_kernels.h: the kernels in use, and nothing else.
#include <fmt/format.h>

#include <set>
#include <sstream>

#include "dot_conditionals.hpp"
#include "emission.hpp"

namespace espalier::codegen {
namespace {

// The text of a kernel or of a header it includes, in the form of the last overlay that has one,
// after what it includes itself.
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
  text += body;
}

}  // namespace

std::string kernels_text(const Emission& c) {
  const auto& sources = runtime::runtime_sources();
  std::string text = c.banner("the kernels in use");
  text += fmt::format("#define {}_KERNELS_HASH 0x{}ull\n", c.macro, kHashPlaceholder);
  std::string types(sources.at("espalier_runtime.h"));
  // One include guard around all.
  text += types.substr(0, types.rfind("#endif"));
  std::set<std::string> emitted{"espalier_runtime.h"};
  const bool integer = compiler::is_integer(c.program.graph);
  if (integer) append_source(c.options.target, "espalier_integer_types.h", emitted, text);
  text += "#ifndef ESP_TYPES_ONLY\n";
  if (integer) {
    text += fmt::format("#define ESP_GRADIENT_BITS {}\n",
                        c.program.graph.gradient == compiler::Element::kInt16 ? 16 : 8);
  }
  for (const runtime::Kernel kernel : c.kernels()) {
    append_source(c.options.target, runtime::source_file(kernel), emitted, text);
  }
  if (!c.program.graph.chains.empty()) {
    append_source(c.options.target, "espalier_rows.h", emitted, text);
  }
  if (c.replay.samples > 0) append_source(c.options.target, "espalier_replay.h", emitted, text);
  text += "\n#endif\n\n#endif\n";
  return text;
}

}  // namespace espalier::codegen
