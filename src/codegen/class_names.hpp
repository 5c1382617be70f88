// The names of the classes in the emitted header.
#pragma once

#include <string>
#include <string_view>

#include "espalier/ir/graph.hpp"

namespace espalier::codegen {

/// A string literal of C for any bytes: quotes, question marks and what is not ASCII are escaped.
std::string c_string(std::string_view text);

/// `#define <MACRO>_CLASS_NAMES` as an initialiser of strings in the order of the logits, with a
/// comment; empty when the names are not known.
std::string class_names_macro(std::string_view macro, const ir::Head& head);

}  // namespace espalier::codegen
