#include "diagnostics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace espalier::import_detail {
namespace {

// A reason without the names and numbers of its node.
std::string kind_of(const Where& node, std::string_view why, std::string_view next) {
  std::string kind = node.type + ": ";
  bool quoted = false;
  for (const char c : why) {
    if (c == '\'') quoted = !quoted;
    if (!quoted && std::isdigit(static_cast<unsigned char>(c)) == 0) kind += c;
  }
  return kind + "; " + std::string(next);
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string shown;
  for (const char c : text.substr(0, kLongest)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kLongest) shown += "...";
  return shown;
}

std::string Where::text() const {
  return fmt::format("node {} '{}' ({})", index, printable(name), printable(type));
}

void Diagnostics::add(std::string_view text) {
  entries_.push_back({std::string(text), "", std::string(text)});
}

void Diagnostics::add(const Where& node, std::string_view why, std::string_view next) {
  std::string kind = kind_of(node, why, next);
  const auto same = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const Entry& entry) { return entry.kind == kind; });
  if (same == entries_.end()) {
    entries_.push_back(
        {std::move(kind), node.text(), fmt::format("{}; {}", why, next), node.index});
  } else if (same->last != node.index) {
    same->last = node.index;
    ++same->others;
  }
}

Error Diagnostics::error() const {
  std::vector<std::string> all;
  for (const Entry& entry : entries_) {
    std::string where = file_;
    if (!entry.first.empty()) where += ": " + entry.first;
    if (entry.others > 0) where += fmt::format(" and {} more like it", entry.others);
    all.push_back(fmt::format("{}: {}", where, entry.text));
  }
  return Error{ErrorKind::kBadInput, std::move(all)};
}

}  // namespace espalier::import_detail
