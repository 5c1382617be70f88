// JSON documents: parsing with diagnostics, typed field access, schema tags.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "espalier/support/result.hpp"

namespace espalier {

/// Keeps the order in which keys were written, so that documents are readable and stable.
using Json = nlohmann::ordered_json;

/// Parses text. Errors of syntax, numbers that no double holds and nesting that no document of
/// ours has become kBadInput with line and column, prefixed by `where`.
Result<Json> parse_json(std::string_view text, std::string_view where);

/// The same, but comments as in C are passed over.
Result<Json> parse_commented_json(std::string_view text, std::string_view where);

/// The document as text: one line, or indented. Bytes that are no UTF-8, such as those of an odd
/// file name, become U+FFFD: every text we write can be read.
std::string json_text(const Json& document, int indent = -1);

/// The text as a document holds it: bytes that are no UTF-8 become U+FFFD.
std::string valid_utf8(const std::string& text);

/// Reads and parses a file and checks that its "schema" equals `schema`.
Result<Json> read_json(const std::filesystem::path& path, std::string_view schema);

/// Writes a document, two-space indented, with a final newline. `-` is standard output.
Status write_json(const std::filesystem::path& path, const Json& document);

/// The member `key` of `object` as a T. kBadInput names `where` and the key when it is missing, of
/// another type, or a number that T cannot hold.
template <typename T>
Result<T> json_field(const Json& object, const char* key, std::string_view where);

template <>
Result<std::string> json_field(const Json& object, const char* key, std::string_view where);
template <>
Result<std::int64_t> json_field(const Json& object, const char* key, std::string_view where);
template <>
Result<int> json_field(const Json& object, const char* key, std::string_view where);
template <>
Result<double> json_field(const Json& object, const char* key, std::string_view where);
template <>
Result<bool> json_field(const Json& object, const char* key, std::string_view where);
/// Any member, whatever its type.
template <>
Result<Json> json_field(const Json& object, const char* key, std::string_view where);

}  // namespace espalier
