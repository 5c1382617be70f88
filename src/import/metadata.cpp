#include "espalier/import/metadata.hpp"

#include <cstddef>
#include <set>

#include "espalier/support/json.hpp"

namespace espalier {

std::string class_names_to_metadata(const std::vector<std::string>& names) {
  return json_text(Json(names));
}

std::vector<std::string> class_names_from_metadata(std::string_view value, int classes) {
  const Result<Json> list = parse_json(value, kClassNamesKey);
  if (!list.ok() || !list->is_array() || list->size() != static_cast<std::size_t>(classes)) {
    return {};
  }
  std::vector<std::string> names;
  for (const Json& name : *list) {
    if (!name.is_string()) return {};
    names.push_back(name.get<std::string>());
  }
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) return {};
  return names;
}

}  // namespace espalier
