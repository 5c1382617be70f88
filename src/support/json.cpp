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

// Goes through a text without building anything. What holds, Json::parse() takes without throwing.
class Checker : public nlohmann::json_sax<Json> {
 public:
  std::string problem;
  std::size_t byte = 0;  // number of bytes read when the problem was seen; 0 = anywhere

  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool key(string_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*size*/) override { return deeper(); }
  bool start_array(std::size_t /*size*/) override { return deeper(); }
  bool end_object() override { return shallower(); }
  bool end_array() override { return shallower(); }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    constexpr int kNumberOverflow = 406;
    byte = position;
    problem = error.id == kNumberOverflow ? fmt::format("the number {} is out of range", token)
                                          : "not valid JSON";
    return false;
  }

 private:
  // Copying and writing a value recurse into it.
  static constexpr int kMaxDepth = 100;

  bool deeper() {
    if (++depth_ <= kMaxDepth) return true;
    problem = fmt::format("nested deeper than {} levels", kMaxDepth);
    return false;
  }
  bool shallower() {
    --depth_;
    return true;
  }

  int depth_ = 0;
};

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

Result<Json> parse(std::string_view text, std::string_view where, bool comments) {
  Checker checker;
  if (Json::sax_parse(text, &checker, nlohmann::detail::input_format_t::json, true, comments)) {
    return Json::parse(text, nullptr, true, comments);
  }
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i + 1 < checker.byte && i < text.size(); ++i) {
    column = text[i] == '\n' ? 1 : column + 1;
    line += text[i] == '\n' ? 1 : 0;
  }
  const std::string place =
      checker.byte == 0 ? std::string(where) : fmt::format("{}:{}:{}", where, line, column);
  return Error{ErrorKind::kBadInput, fmt::format("{}: {}", place, checker.problem)};
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view where) {
  return parse(text, where, false);
}

Result<Json> parse_commented_json(std::string_view text, std::string_view where) {
  return parse(text, where, true);
}

std::string json_text(const Json& document, int indent) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string valid_utf8(const std::string& text) {
  return Json::parse(json_text(Json(text))).get<std::string>();
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
  const std::string text = json_text(document, 2) + "\n";
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
