#include "dot_conditionals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace espalier::codegen {
namespace {

struct Conditional {
  bool resolved;  // on ESP_DOT4; otherwise its lines pass through
  bool taken;     // whether what comes now is compiled, as far as this one is concerned
  bool in_else;
};

// `#else` or `#endif` and nothing but a comment behind it.
bool is_plain(std::string_view line, std::string_view directive) {
  if (line.substr(0, directive.size()) != directive) return false;
  std::string_view rest = line.substr(directive.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return rest.empty() || rest.substr(0, 2) == "/*";
}

}  // namespace

std::string resolve_dot_conditionals(std::string_view file, std::string_view text, bool defined) {
  std::string out;
  std::vector<Conditional> open;
  std::istringstream lines{std::string(text)};
  int number = 0;
  const auto fail = [&](std::string_view what) {
    throw std::logic_error(fmt::format("{}:{}: {}", file, number, what));
  };
  const auto compiled = [&] {
    return std::all_of(open.begin(), open.end(), [](const Conditional& c) { return c.taken; });
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::size_t hash = line.find_first_not_of(" \t");
    const bool directive = hash != std::string::npos && line[hash] == '#';
    if (directive && hash != 0) fail("a directive that does not begin the line");
    if (line == "#ifdef ESP_DOT4" || line == "#ifndef ESP_DOT4") {
      open.push_back({true, (line == "#ifdef ESP_DOT4") == defined, false});
      continue;
    }
    if (line.find("ESP_DOT4") != std::string::npos) fail("ESP_DOT4 in a place of its own");
    if (directive) {
      const bool is_else = line.rfind("#el", 0) == 0;  // #elif, too
      const bool is_end = line.rfind("#end", 0) == 0;
      if ((is_else || is_end) && open.empty()) fail("no conditional is open");
      if ((is_else || is_end) && open.back().resolved) {
        if (!is_plain(line, is_end ? "#endif" : "#else")) fail("neither #else nor #endif");
        if (is_end) {
          open.pop_back();
        } else {
          if (open.back().in_else) fail("a second #else");
          open.back() = {true, !open.back().taken, true};
        }
        continue;
      }
      if (line.rfind("#if", 0) == 0) {
        if (compiled()) out += line + '\n';
        open.push_back({false, true, false});
        continue;
      }
      if (is_end) open.pop_back();
    }
    if (compiled()) out += line + '\n';
  }
  if (!open.empty()) fail("a conditional is still open");
  return out;
}

}  // namespace espalier::codegen
