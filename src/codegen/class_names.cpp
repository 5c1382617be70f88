#include "class_names.hpp"

#include <fmt/format.h>

namespace espalier::codegen {

std::string c_string(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // Question marks could make trigraphs; three octal digits end by themselves.
    const bool plain = byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\' && c != '?';
    literal += plain ? std::string(1, c) : fmt::format("\\{:03o}", byte);
  }
  return literal + '"';
}

std::string class_names_macro(std::string_view macro, const ir::Head& head) {
  if (head.class_names.empty()) return "";
  std::string text = fmt::format(
      "\n/* Names of the classes, in the order of the logits:\n"
      " * static const char *const names[{0}_CLASSES] = {0}_CLASS_NAMES; */\n"
      "#define {0}_CLASS_NAMES {{ \\\n",
      macro);
  for (const std::string& name : head.class_names) {
    text += fmt::format("  {}, \\\n", c_string(name));
  }
  return text + "}\n";
}

}  // namespace espalier::codegen
