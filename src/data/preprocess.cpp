#include "espalier/data/preprocess.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

constexpr std::string_view kKeys =
    "auto, identity, resize=, crop=, lut=, mean=, std= and quantized=";
constexpr std::int64_t kMaxTableBytes = 64 * 1024;

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::vector<std::string_view> split_at(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Result<std::array<std::int8_t, 256>> read_table(const std::filesystem::path& path) {
  ESPALIER_TRY(const std::string text, read_data_file(path, kMaxTableBytes));
  std::array<std::int8_t, 256> table{};
  std::size_t count = 0;
  std::size_t line_number = 0;
  for (std::string_view line : split_at(text, '\n')) {
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    for (const std::string_view word : split_at(line, ' ')) {
      if (word.empty()) continue;
      int value = 0;
      if (!parse_number(word, value) || value < -128 || value > 127) {
        return Error{ErrorKind::kBadInput,
                     fmt::format("{}:{}: '{}' is not a number from -128 to 127", path.string(),
                                 line_number, word)};
      }
      if (count < table.size()) table[count] = static_cast<std::int8_t>(value);
      ++count;
    }
  }
  if (count != table.size()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: {} numbers, but a table has 256: the int8 input for each pixel "
                             "value",
                             path.string(), count)};
  }
  return table;
}

// The first thing that is wrong with the members; empty if nothing is.
std::string defect(const Preprocess& p) {
  if (p.resize < 0 || p.resize > kMaxImageSide || p.crop < 0 || p.crop > kMaxImageSide) {
    return fmt::format("resize {} and crop {} must be 0 to {}", p.resize, p.crop, kMaxImageSide);
  }
  if (p.resize > 0 && p.crop > p.resize) {
    return fmt::format("crop {} is larger than resize {}; lower crop or raise resize", p.crop,
                       p.resize);
  }
  const bool normalizes = !p.mean.empty() || !p.std.empty();
  if (int{p.identity} + int{p.lut.has_value()} + int{normalizes} + int{p.quantized.has_value()} >
      1) {
    return "identity, lut, quantized and mean with std exclude each other; choose one";
  }
  if (p.quantized && !(std::isfinite(p.quantized->scale) && p.quantized->scale > 0 &&
                       p.quantized->zero_point >= -128 && p.quantized->zero_point <= 255)) {
    return "quantized has a scale above 0 and a zero point from -128 to 255";
  }
  if (!normalizes) return "";
  if (p.mean.size() != p.std.size() || (p.mean.size() != 1 && p.mean.size() != 3)) {
    return fmt::format("mean has {} values and std {}; give both one value or one per channel",
                       p.mean.size(), p.std.size());
  }
  const auto finite = [](float x) { return std::isfinite(x); };
  const auto positive = [](float x) { return std::isfinite(x) && x > 0; };
  if (!std::all_of(p.mean.begin(), p.mean.end(), finite) ||
      !std::all_of(p.std.begin(), p.std.end(), positive)) {
    return "mean must be finite, and std finite and above 0";
  }
  return "";
}

std::string table_hash(const std::array<std::int8_t, 256>& table) {
  return sha256_hex({reinterpret_cast<const char*>(table.data()), table.size()}).substr(0, 12);
}

// The shortest decimal that reads back as this float, so that documents show 0.485.
double shortest(float value) {
  const std::string text = fmt::format("{}", value);
  double wide = 0;
  return parse_number(text, wide) && static_cast<float>(wide) == value ? wide : double{value};
}

constexpr std::array<std::pair<Preprocess::Mapping, const char*>, 5> kMappingNames{
    {{Preprocess::Mapping::kAuto, "auto"},
     {Preprocess::Mapping::kIdentity, "identity"},
     {Preprocess::Mapping::kLut, "lut"},
     {Preprocess::Mapping::kNormalize, "normalize"},
     {Preprocess::Mapping::kQuantized, "quantized"}}};

Result<std::vector<float>> floats_from_json(const Json& json, const char* key,
                                            std::string_view where) {
  ESPALIER_TRY(const Json list, json_field<Json>(json, key, where));
  std::vector<float> values;
  for (const Json& element : list) {
    if (list.is_array() && element.is_number()) values.push_back(element.get<float>());
  }
  if (!list.is_array() || values.size() != list.size()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: '{}' must be a list of numbers", where, key)};
  }
  return values;
}

Result<std::array<std::int8_t, 256>> table_from_json(const Json& json, std::string_view where) {
  ESPALIER_TRY(const Json list, json_field<Json>(json, "lut", where));
  std::array<std::int8_t, 256> table{};
  bool right = list.is_array() && list.size() == table.size();
  for (std::size_t p = 0; right && p < table.size(); ++p) {
    const double value = list[p].is_number_integer() ? list[p].get<double>() : 1000;
    right = value >= -128 && value <= 127;
    if (right) table[p] = static_cast<std::int8_t>(value);
  }
  if (!right) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: 'lut' must be a list of 256 integers from -128 to 127", where)};
  }
  return table;
}

}  // namespace

std::string_view table_file(std::string_view spec) {
  constexpr std::string_view kTable = "lut=";
  for (const std::string_view item : split_at(spec, ',')) {
    if (item.starts_with(kTable)) return item.substr(kTable.size());
  }
  return {};
}

Result<Preprocess> parse_preprocess(std::string_view spec) {
  const auto wrong = [&](std::string_view why) {
    return Error{ErrorKind::kUsage, fmt::format("preprocess '{}': {}", spec, why)};
  };
  Preprocess p;
  if (spec.empty()) return p;

  std::set<std::string_view> seen;
  for (const std::string_view item : split_at(spec, ',')) {
    const std::size_t equals = item.find('=');
    const std::string_view key = item.substr(0, equals);
    const bool has_value = equals != std::string_view::npos;
    const std::string_view value = has_value ? item.substr(equals + 1) : std::string_view();
    if (!seen.insert(key).second) return wrong(fmt::format("'{}' is given twice", key));

    if (!has_value && key == "auto") {
      continue;
    } else if (!has_value && key == "identity") {
      p.identity = true;
    } else if (has_value && (key == "resize" || key == "crop")) {
      int& side = key == "resize" ? p.resize : p.crop;
      if (!parse_number(value, side) || side < 1 || side > kMaxImageSide) {
        return wrong(fmt::format("{} must be a number from 1 to {}", key, kMaxImageSide));
      }
    } else if (has_value && key == "lut") {
      ESPALIER_TRY(p.lut, read_table(value));
    } else if (has_value && key == "quantized") {
      const std::vector<std::string_view> parts = split_at(value, ':');
      p.quantized = Preprocess::Quantized{};
      if (parts.size() != 2 || !parse_number(parts[0], p.quantized->scale) ||
          !parse_number(parts[1], p.quantized->zero_point)) {
        return wrong("quantized is SCALE:ZERO_POINT, such as 0.5847:83");
      }
    } else if (has_value && (key == "mean" || key == "std")) {
      std::vector<float>& values = key == "mean" ? p.mean : p.std;
      for (const std::string_view part : split_at(value, ':')) {
        values.emplace_back();
        if (!parse_number(part, values.back())) {
          return wrong(
              fmt::format("{} must be numbers separated by colons, such as 0.5:0.5:0.5", key));
        }
      }
    } else {
      return wrong(fmt::format("'{}' is not known; use {}", item, kKeys));
    }
  }
  if (seen.contains("auto") && (p.resize > 0 || p.crop > 0)) {
    return wrong("auto chooses resize and crop itself; leave out one or the other");
  }
  const std::string why = defect(p);
  if (!why.empty()) return wrong(why);
  return p;
}

Status check(const Preprocess& preprocess) {
  const std::string why = defect(preprocess);
  if (why.empty()) return Ok{};
  return Error{ErrorKind::kUsage, "preprocess: " + why};
}

std::string to_string(const Preprocess& p) {
  std::vector<std::string> items;
  if (p.resize > 0) items.push_back(fmt::format("resize={}", p.resize));
  if (p.crop > 0) items.push_back(fmt::format("crop={}", p.crop));
  switch (p.mapping()) {
    case Preprocess::Mapping::kAuto:
      break;
    case Preprocess::Mapping::kIdentity:
      items.emplace_back("identity");
      break;
    case Preprocess::Mapping::kLut:
      items.push_back(fmt::format("lut=sha256:{}", table_hash(*p.lut)));
      break;
    case Preprocess::Mapping::kNormalize:
      items.push_back(fmt::format("mean={}", fmt::join(p.mean, ":")));
      items.push_back(fmt::format("std={}", fmt::join(p.std, ":")));
      break;
    case Preprocess::Mapping::kQuantized:
      items.push_back(fmt::format("quantized={}:{}", p.quantized->scale, p.quantized->zero_point));
      break;
  }
  return items.empty() ? "auto" : fmt::format("{}", fmt::join(items, ","));
}

Json to_json(const Preprocess& p) {
  Json json = {{"resize", p.resize}, {"crop", p.crop}};
  for (const auto& [mapping, name] : kMappingNames) {
    if (p.mapping() == mapping) json["mapping"] = name;
  }
  if (p.lut) json["lut"] = *p.lut;
  if (p.mapping() == Preprocess::Mapping::kNormalize) {
    json["mean"] = Json::array();
    json["std"] = Json::array();
    for (const float x : p.mean) json["mean"].push_back(shortest(x));
    for (const float x : p.std) json["std"].push_back(shortest(x));
  }
  if (p.quantized) {
    json["scale"] = shortest(p.quantized->scale);
    json["zero_point"] = p.quantized->zero_point;
  }
  return json;
}

Result<Preprocess> preprocess_from_json(const Json& json, std::string_view where) {
  Preprocess p;
  ESPALIER_TRY(p.resize, json_field<int>(json, "resize", where));
  ESPALIER_TRY(p.crop, json_field<int>(json, "crop", where));
  ESPALIER_TRY(const std::string mapping, json_field<std::string>(json, "mapping", where));
  const auto* const known =
      std::find_if(kMappingNames.begin(), kMappingNames.end(),
                   [&](const auto& entry) { return mapping == entry.second; });
  if (known == kMappingNames.end()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: 'mapping' is '{}'; it must be auto, identity, lut, normalize or "
                             "quantized",
                             where, mapping)};
  }
  const Preprocess::Mapping kind = known->first;
  p.identity = kind == Preprocess::Mapping::kIdentity;
  if (kind == Preprocess::Mapping::kLut) {
    ESPALIER_TRY(p.lut, table_from_json(json, where));
  }
  if (kind == Preprocess::Mapping::kNormalize) {
    ESPALIER_TRY(p.mean, floats_from_json(json, "mean", where));
    ESPALIER_TRY(p.std, floats_from_json(json, "std", where));
  }
  if (kind == Preprocess::Mapping::kQuantized) {
    p.quantized = Preprocess::Quantized{};
    ESPALIER_TRY(const double scale, json_field<double>(json, "scale", where));
    p.quantized->scale = static_cast<float>(scale);
    ESPALIER_TRY(p.quantized->zero_point, json_field<int>(json, "zero_point", where));
  }
  const std::string why = p.mapping() == kind ? defect(p) : "mean and std are empty";
  if (!why.empty()) return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, why)};
  return p;
}

}  // namespace espalier::data
