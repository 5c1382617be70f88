#include "espalier/support/json.hpp"

#include <cmath>
#include <cstdio>
#include <limits>

#include "espalier/support/file.hpp"

namespace espalier {
namespace {

Error missing(std::string_view where, const char* key, std::string_view expected) {
  return Error{ErrorKind::kBadInput, fmt::format("{}: '{}' must be {}", where, key, expected)};
}

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view where) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    std::size_t line = 1;
    std::size_t column = 1;
    for (std::size_t i = 0; i + 1 < error.byte && i < text.size(); ++i) {
      column = text[i] == '\n' ? 1 : column + 1;
      line += text[i] == '\n' ? 1 : 0;
    }
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}:{}:{}: not valid JSON", where, line, column)};
  }
}

Result<Json> read_json(const std::filesystem::path& path, std::string_view schema) {
  ESPALIER_TRY(const std::string text, read_file(path));
  ESPALIER_TRY(Json document, parse_json(text, path.string()));
  ESPALIER_TRY(const std::string found, json_field<std::string>(document, "schema", path.string()));
  if (found != schema) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: schema is '{}', expected '{}'", path.string(), found, schema)};
  }
  return document;
}

Status write_json(const std::filesystem::path& path, const Json& document) {
  const std::string text = document.dump(2) + "\n";
  if (path != "-") return write_file_atomic(path, text);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return Error{ErrorKind::kCannotWrite, "standard output: cannot be written"};
  }
  return Ok{};
}

template <>
Result<Json> json_field(const Json& object, const char* key, std::string_view where) {
  const Json* member = find(object, key);
  if (member == nullptr) return missing(where, key, "present");
  return *member;
}

template <>
Result<std::string> json_field(const Json& object, const char* key, std::string_view where) {
  const Json* member = find(object, key);
  if (member == nullptr || !member->is_string()) return missing(where, key, "a string");
  return member->get<std::string>();
}

template <>
Result<std::int64_t> json_field(const Json& object, const char* key, std::string_view where) {
  const Json* member = find(object, key);
  if (member == nullptr || !member->is_number_integer() ||
      (member->is_number_unsigned() &&
       member->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())) {
    return missing(where, key, "an integer");
  }
  return member->get<std::int64_t>();
}

template <>
Result<int> json_field(const Json& object, const char* key, std::string_view where) {
  ESPALIER_TRY(const std::int64_t wide, json_field<std::int64_t>(object, key, where));
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    return missing(where, key, "an integer of 32 bits");
  }
  return static_cast<int>(wide);
}

template <>
Result<double> json_field(const Json& object, const char* key, std::string_view where) {
  const Json* member = find(object, key);
  if (member == nullptr || !member->is_number()) return missing(where, key, "a number");
  return member->get<double>();
}

template <>
Result<bool> json_field(const Json& object, const char* key, std::string_view where) {
  const Json* member = find(object, key);
  if (member == nullptr || !member->is_boolean()) return missing(where, key, "true or false");
  return member->get<bool>();
}

}  // namespace espalier
