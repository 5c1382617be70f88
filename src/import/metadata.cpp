#include "espalier/import/metadata.hpp"

#include <cstddef>
#include <set>

#include "espalier/support/json.hpp"

namespace espalier {
namespace {

std::string line_start() { return std::string("\n") + kClassNamesKey + "="; }

}  // namespace

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

std::string with_class_names(std::string_view text, const std::vector<std::string>& names) {
  std::string all(text.substr(0, text.find(line_start())));
  if (!names.empty()) all += line_start() + class_names_to_metadata(names);
  return all;
}

std::vector<std::string> class_names_in_text(std::string_view text, int classes) {
  const std::size_t at = text.find(line_start());
  if (at == std::string_view::npos) return {};
  return class_names_from_metadata(text.substr(at + line_start().size()), classes);
}

}  // namespace espalier
