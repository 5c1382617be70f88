// Takes the conditionals on ESP_DOT4 out of the text of a kernel, so that emitted sources hold only
// the form that is compiled. Never touches other conditionals.
#pragma once

#include <string>
#include <string_view>

namespace espalier::codegen {

/// The lines of `text` that are compiled when ESP_DOT4 is defined, or when it is not. Knows
/// `#ifdef ESP_DOT4`, `#ifndef ESP_DOT4`, `#else` and `#endif`, and conditionals of other kinds
/// inside and around them. Throws std::logic_error, which names `file` and the line, on any other
/// mention of ESP_DOT4, on directives that do not begin a line and on nesting that does not close.
std::string resolve_dot_conditionals(std::string_view file, std::string_view text, bool defined);

}  // namespace espalier::codegen
