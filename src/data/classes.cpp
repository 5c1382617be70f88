#include "espalier/data/classes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "espalier/support/json.hpp"

namespace espalier::data {
namespace {

constexpr std::size_t kListed = 20;

std::optional<int> position(const ClassNames& names, std::string_view name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return std::nullopt;
  return static_cast<int>(at - names.begin());
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The classes whose names are `first` to `last`, all names being numbers; empty when one is not
// there.
std::vector<int> named_range(int first, int last, const ClassNames& names) {
  std::map<int, int> positions;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (const auto value = number(names[i])) positions.emplace(*value, static_cast<int>(i));
  }
  std::vector<int> range;
  for (int value = first; value <= last; ++value) {
    const auto at = positions.find(value);
    if (at == positions.end()) return {};
    range.push_back(at->second);
  }
  return range;
}

// The class that is called by a number, whatever zeros its name begins with, all names being
// numbers.
std::optional<int> numbered_position(const ClassNames& names, int value) {
  if (!numbered(names)) return std::nullopt;
  const auto at = std::find_if(names.begin(), names.end(), [value](const std::string& name) {
    return number(name) == value;
  });
  if (at == names.end()) return std::nullopt;
  return static_cast<int>(at - names.begin());
}

// The numbers of one item of --classes; empty when it is none.
std::vector<int> item_classes(std::string_view item, const ClassNames& names) {
  if (const auto named = position(names, item)) return {*named};
  if (const auto one = number(item)) return {numbered_position(names, *one).value_or(*one)};
  const std::size_t dash = item.find('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view from = item.substr(0, dash);
  const std::string_view to = item.substr(dash + 1);
  const auto first = number(from);
  const auto last = number(to);
  constexpr int kMost = 100000;
  if (!first || !last || *last < *first || *last - *first > kMost) return {};
  // Names may be in another order, or begin elsewhere: 1, 10, 11, 2.
  if (numbered_position(names, *first) && numbered_position(names, *last)) {
    return named_range(*first, *last, names);
  }
  std::vector<int> range(static_cast<std::size_t>(*last - *first) + 1);
  std::iota(range.begin(), range.end(), *first);
  return range;
}

}  // namespace

ClassNames class_numbers(int count) {
  ClassNames names;
  for (int c = 0; c < count; ++c) names.push_back(std::to_string(c));
  return names;
}

bool counts_up(const ClassNames& names) {
  return names == class_numbers(static_cast<int>(names.size()));
}

bool numbered(const ClassNames& names) {
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  });
}

std::optional<std::vector<int>> numbers_below(const ClassNames& names, int count) {
  std::vector<int> numbers;
  for (const std::string& name : names) {
    const auto value = number(name);
    if (!value || *value >= count) return std::nullopt;
    if (std::find(numbers.begin(), numbers.end(), *value) != numbers.end()) return std::nullopt;
    numbers.push_back(*value);
  }
  return numbers;
}

ClassNames in_number_order(ClassNames names) {
  const auto numbers = numbers_below(names, static_cast<int>(names.size()));
  if (!numbers) return names;
  ClassNames ordered(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    ordered[static_cast<std::size_t>((*numbers)[i])] = std::move(names[i]);
  }
  return ordered;
}

std::string class_list(const ClassNames& names) {
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kListed));
  return fmt::format("{} class{}: {}{}", names.size(), names.size() == 1 ? "" : "es",
                     fmt::join(names.begin(), end, ", "), names.size() > kListed ? ", ..." : "");
}

Result<ClassMatch> match_classes(const ClassNames& wanted, std::string_view wanted_by,
                                 const ClassNames& found, std::string_view found_in) {
  ClassMatch match;
  for (const std::string& name : wanted) match.order.push_back(position(found, name).value_or(-1));
  const bool all = std::find(match.order.begin(), match.order.end(), -1) == match.order.end();
  if (all && wanted.size() == found.size()) return match;
  if (wanted.size() == found.size() && numbered(wanted) != numbered(found)) {
    std::iota(match.order.begin(), match.order.end(), 0);
    match.by_position = true;
    return match;
  }
  return Error{ErrorKind::kBadInput,
               fmt::format("{} has {}; {} has {}; use sets of the same classes, or choose common "
                           "ones with --classes",
                           wanted_by, class_list(wanted), found_in, class_list(found))};
}

Dataset order_classes(Dataset dataset, const ClassNames& names, const ClassMatch& match) {
  std::vector<int> new_label(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    new_label[static_cast<std::size_t>(match.order[i])] = static_cast<int>(i);
  }
  for (int& label : dataset.labels) label = new_label[static_cast<std::size_t>(label)];
  if (!match.by_position || !numbered(names)) dataset.class_names = names;
  return dataset;
}

Result<std::vector<int>> find_classes(const ClassNames& wanted, const Dataset& dataset) {
  std::vector<int> classes;
  std::vector<int> numbers;
  const std::string* missing = nullptr;
  for (const std::string& name : wanted) {
    const auto at = position(dataset.class_names, name);
    if (!at && missing == nullptr) missing = &name;
    classes.push_back(at.value_or(-1));
    if (const auto value = number(name)) numbers.push_back(*value);
  }
  if (missing == nullptr) return classes;
  if (numbers.size() == wanted.size()) return numbers;
  return Error{ErrorKind::kUsage,
               fmt::format("{}: has no class '{}', but {}; name data of the same classes",
                           dataset.spec, *missing, class_list(dataset.class_names))};
}

std::vector<std::int64_t> samples_by_class(const Dataset& dataset) {
  std::vector<std::int64_t> count(static_cast<std::size_t>(dataset.classes));
  for (const int label : dataset.labels) ++count[static_cast<std::size_t>(label)];
  return count;
}

Status check_labels(const Dataset& dataset) {
  constexpr int kMostMissing = 1024;
  if (dataset.classes <= kMostMissing) return Ok{};
  const std::vector<std::int64_t> count = samples_by_class(dataset);
  const auto present = dataset.classes - std::count(count.begin(), count.end(), 0);
  if (2 * present >= dataset.classes) return Ok{};
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: labels go up to {}, of which {} occur; number them 0 to {}, or "
                           "choose them with --classes",
                           dataset.spec, dataset.classes - 1, present, present - 1)};
}

Result<std::vector<int>> parse_classes(std::string_view given, const Dataset& dataset) {
  const std::string as_names_are = valid_utf8(std::string(given));
  std::string_view text = as_names_are;
  std::vector<int> classes;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const std::vector<int> chosen = item_classes(item, dataset.class_names);
    if (chosen.empty()) {
      return Error{ErrorKind::kUsage,
                   fmt::format("--classes: '{}' is neither a class nor a number of one, such as "
                               "3 or 2-4; {} has {}",
                               item, dataset.spec, class_list(dataset.class_names))};
    }
    classes.insert(classes.end(), chosen.begin(), chosen.end());
    if (comma == std::string_view::npos) return classes;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace espalier::data
