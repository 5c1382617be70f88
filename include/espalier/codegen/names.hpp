// Names of emitted programs, and what of a model's own words may stand in emitted text.
#pragma once

#include <string>
#include <string_view>

#include "espalier/support/result.hpp"

namespace espalier::codegen {

/// The prefix of all files and symbols of a program, from a model's name: `mcunet-5fps` gives
/// `mcunet_5fps`. At most 48 lower-case letters, digits and single underscores, a letter first.
/// Stable, and identifier() of itself. What an identifier cannot hold of a name, another alphabet
/// or great length, is told apart by 8 digits of the name's SHA-256; names that would collide with
/// the kernels, with the helpers of the emitted source, with headers of C or with file names that a
/// system keeps for itself begin with `net_`.
std::string identifier(std::string_view name);

/// kUsage unless `name` can be a program's as it stands: identifier(name) == name.
Status check_name(std::string_view name);

/// `text` as it may stand in a comment of C: ASCII that ends no comment and begins none.
std::string comment_text(std::string_view text);

/// `text` as it may stand in a line of Markdown, inside backticks.
std::string markdown_text(std::string_view text);

}  // namespace espalier::codegen
