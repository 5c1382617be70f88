#include "espalier/import/metadata.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
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

std::string derivatives_key(std::string_view output) {
  return fmt::format("espalier.derivatives.{}", output);
}

std::string derivatives_to_metadata(const std::array<float, 256>& derivatives) {
  std::string text;
  for (const float d : derivatives) text += fmt::format("{:08x}", std::bit_cast<std::uint32_t>(d));
  return text;
}

std::optional<std::array<float, 256>> derivatives_from_metadata(std::string_view value) {
  constexpr std::size_t kDigits = 8;
  std::array<float, 256> derivatives{};
  if (value.size() != derivatives.size() * kDigits) return std::nullopt;
  for (std::size_t i = 0; i < derivatives.size(); ++i) {
    const char* first = value.data() + i * kDigits;
    std::uint32_t bits = 0;
    const auto [end, error] = std::from_chars(first, first + kDigits, bits, 16);
    if (error != std::errc{} || end != first + kDigits) return std::nullopt;
    derivatives[i] = std::bit_cast<float>(bits);
    if (!std::isfinite(derivatives[i])) return std::nullopt;
  }
  return derivatives;
}

}  // namespace espalier
