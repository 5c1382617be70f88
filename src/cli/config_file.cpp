#include "config_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

namespace espalier::cli {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// A name may stand in quotes, too.
std::string_view unquoted(std::string_view name) {
  const bool quoted = name.size() > 2 && name.front() == name.back() &&
                      (name.front() == '"' || name.front() == '\'');
  return quoted ? name.substr(1, name.size() - 2) : name;
}

// Goes through the lines of a file.
class Parser {
 public:
  Parser(std::string_view text, std::string_view where) : rest_(text), where_(where) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  }

  Result<std::vector<ConfigItem>> run() {
    std::vector<ConfigItem> items;
    std::set<std::string> names;
    while (!rest_.empty()) {
      const std::string_view text = trimmed(next_line());
      if (text.empty() || text.front() == '#' || text.front() == ';') continue;
      ESPALIER_TRY(ConfigItem item, read_item(text));
      if (!names.insert(item.name).second) {
        return error(fmt::format("'{}' stands there a second time", item.name));
      }
      items.push_back(std::move(item));
    }
    return items;
  }

 private:
  std::string_view next_line() {
    const std::size_t end = std::min(rest_.find('\n'), rest_.size());
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_;
    return text;
  }

  [[nodiscard]] Error error(std::string_view what) const {
    return Error{ErrorKind::kUsage, fmt::format("{}:{}: {}", where_, line_, what)};
  }

  Result<ConfigItem> read_item(std::string_view text) {
    ConfigItem item{line_, {}, {}};
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) {
      item.name = trimmed(text.substr(0, text.find('#')));
      return item;
    }
    item.name = unquoted(trimmed(text.substr(0, equals)));
    const std::string_view value = trimmed(text.substr(equals + 1));
    if (value.starts_with('[')) {
      ESPALIER_TRY(item.values, read_array(value.substr(1)));
    } else {
      ESPALIER_TRY(const auto one, read_value(value, ""));
      if (!is_end(one.second)) {
        return error("text stands behind the value; a list is written [\"a\", \"b\"]");
      }
      item.values = {one.first};
    }
    return item;
  }

  static bool is_end(std::string_view text) {
    text = trimmed(text);
    return text.empty() || text.front() == '#';
  }

  // The elements up to the closing bracket, which may stand on a later line.
  Result<std::vector<std::string>> read_array(std::string_view text) {
    std::vector<std::string> values;
    while (true) {
      text = trimmed(text);
      if (is_end(text)) {
        if (rest_.empty()) return error("the list has no closing ]");
        text = next_line();
        continue;
      }
      if (text.front() == ']') {
        if (is_end(text.substr(1))) return values;
        return error("text stands behind the closing ]");
      }
      ESPALIER_TRY(auto one, read_value(text, ",]"));
      values.push_back(std::move(one.first));
      text = trimmed(one.second);
      if (text.starts_with(',')) {
        text.remove_prefix(1);
      } else if (!is_end(text) && text.front() != ']') {
        return error("text stands behind an element of the list");
      }
    }
  }

  // A value, and what stands behind it. One without quotes ends at a comment or one of `ends`.
  Result<std::pair<std::string, std::string_view>> read_value(std::string_view text,
                                                              const std::string& ends) const {
    if (text.starts_with('"')) return read_text(text.substr(1));
    if (text.starts_with('\'')) {
      const std::size_t end = text.find('\'', 1);
      if (end == std::string_view::npos) return error("the closing ' is missing");
      return std::pair{std::string(text.substr(1, end - 1)), text.substr(end + 1)};
    }
    const std::size_t end = std::min(text.find_first_of("#" + ends), text.size());
    return std::pair{std::string(trimmed(text.substr(0, end))), text.substr(end)};
  }

  // The same behind an opening ".
  Result<std::pair<std::string, std::string_view>> read_text(std::string_view text) const {
    std::string value;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"') return std::pair{value, text.substr(i + 1)};
      if (text[i] != '\\') {
        value += text[i];
        continue;
      }
      constexpr std::string_view kEscapes = "\"\\nt";
      constexpr std::string_view kMeant = "\"\\\n\t";
      ++i;
      const std::size_t escape = i < text.size() ? kEscapes.find(text[i]) : std::string_view::npos;
      if (escape == std::string_view::npos) {
        return error("only \\\" \\\\ \\n and \\t are escapes; in single quotes nothing is");
      }
      value += kMeant[escape];
    }
    return error("the closing \" is missing");
  }

  std::string_view rest_;
  std::string_view where_;
  int line_ = 0;
};

// Numbers and flags as they are, all else in quotes.
std::string written(const std::string& value) {
  const bool number = !value.empty() &&
                      std::isdigit(static_cast<unsigned char>(value.back())) != 0 &&
                      value.find_first_not_of("0123456789.eE+-") == std::string::npos;
  if (number || value == "true" || value == "false") return value;
  std::string text = "\"";
  for (const char c : value) {
    if (c == '\n' || c == '\t') {
      text += c == '\n' ? "\\n" : "\\t";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

}  // namespace

Result<std::vector<ConfigItem>> parse_config(std::string_view text, std::string_view where) {
  return Parser(text, where).run();
}

std::string config_line(const std::string& name, const std::vector<std::string>& values) {
  if (values.size() == 1) return name + '=' + written(values.front()) + '\n';
  std::string list;
  for (const std::string& value : values) list += (list.empty() ? "" : ",") + written(value);
  return fmt::format("{}=[{}]\n", name, list);
}

}  // namespace espalier::cli
