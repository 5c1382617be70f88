// What a tuned model says of itself beside its graph, the same for every format.
#pragma once

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

}  // namespace espalier
