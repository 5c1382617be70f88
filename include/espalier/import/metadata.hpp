// What a tuned model says of itself beside its graph, the same for every format.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// The metadata entry that holds the names of the classes, as a JSON list.
inline constexpr const char* kClassNamesKey = "espalier.class_names";

/// The value of that entry.
std::string class_names_to_metadata(const std::vector<std::string>& names);

/// Reads it back. Empty when it is no list of `classes` names, each of its own: metadata is an aid,
/// and no reason to refuse a model.
std::vector<std::string> class_names_from_metadata(std::string_view value, int classes);

/// The same in formats that have a free text instead: `text` with a line of the key, "=" and the
/// value at its end, in place of such a line.
std::string with_class_names(std::string_view text, const std::vector<std::string>& names);
/// Reads them back from such a text; empty as above.
std::vector<std::string> class_names_in_text(std::string_view text, int classes);

/// The metadata entry that holds the derivatives of a table; `output`: the name of what it
/// computes. A table alone does not have them.
std::string derivatives_key(std::string_view output);
std::string derivatives_to_metadata(const std::array<float, 256>& derivatives);
/// Reads them back to the bit; nullopt when the value is something else.
std::optional<std::array<float, 256>> derivatives_from_metadata(std::string_view value);

}  // namespace espalier
