#include "espalier/codegen/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "espalier/support/file.hpp"

namespace espalier::codegen {
namespace {

constexpr std::size_t kLongest = 48;

// First words of names that the emitted sources use themselves: kernels and their types, start-up
// code of the core, helpers of the emitted source.
constexpr std::array kTakenWords{"esp", "espalier", "run", "take"};

// Headers that `<name>.h` would hide from whoever includes them with the folder in the search path,
// and files that Windows does not let anybody create.
constexpr std::array kTakenNames{
    "alloca",      "assert",   "complex",   "ctype",  "endian", "errno",    "features", "fenv",
    "float",       "inttypes", "iso646",    "limits", "locale", "malloc",   "math",     "memory",
    "newlib",      "picolibc", "reent",     "setjmp", "signal", "stdalign", "stdarg",   "stdatomic",
    "stdbool",     "stddef",   "stdint",    "stdio",  "stdlib", "string",   "strings",  "stdbit",
    "stdnoreturn", "tgmath",   "threads",   "time",   "uchar",  "unistd",   "wchar",    "wctype",
    "stdckdint",   "xlocale",  "syslimits", "ieeefp", "aux",    "con",      "nul",      "prn",
    "com1",        "com2",     "com3",      "com4",   "com5",   "com6",     "com7",     "com8",
    "com9",        "lpt1",     "lpt2",      "lpt3",   "lpt4",   "lpt5",     "lpt6",     "lpt7",
    "lpt8",        "lpt9"};

bool is_taken(std::string_view name) {
  const std::string_view word = name.substr(0, name.find('_'));
  return std::find(kTakenWords.begin(), kTakenWords.end(), word) != kTakenWords.end() ||
         std::find(kTakenNames.begin(), kTakenNames.end(), name) != kTakenNames.end();
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 128; }

std::string with_hash(std::string text, std::size_t longest, std::string_view of) {
  text.resize(std::min(text.size(), longest - 9));
  if (!text.empty() && text.back() != '_') text += '_';
  return text + sha256_hex(of).substr(0, 8);
}

}  // namespace

std::string identifier(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (is_ascii(c) && std::isalnum(static_cast<unsigned char>(c)) != 0) {
      text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!text.empty() && text.back() != '_') {
      text += '_';
    }
  }
  if (!text.empty() && text.back() == '_') text.pop_back();
  constexpr std::string_view kPrefix = "net_";
  const bool bare = text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0;
  const bool lossless = std::all_of(name.begin(), name.end(), is_ascii) && !text.empty();
  if (!lossless || text.size() > kLongest) text = with_hash(text, kLongest, name);
  if (!bare && !is_taken(text)) return text;
  if (text.size() + kPrefix.size() > kLongest) {
    text = with_hash(text, kLongest - kPrefix.size(), name);
  }
  return std::string(kPrefix) + text;
}

Status check_name(std::string_view name) {
  const std::string usable = identifier(name);
  if (usable == name) return Ok{};
  return Error{ErrorKind::kUsage,
               fmt::format("'{}' cannot be the name of a program, which is up to {} lower-case "
                           "letters, digits and single underscores, begins with a letter and is "
                           "none that C or the kernels use; '{}' would do",
                           name, kLongest, usable)};
}

std::string comment_text(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c < ' ' || c > '~' || c == '*' || c == '?' || c == '\\') c = '_';
  }
  return result;
}

std::string markdown_text(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if ((is_ascii(c) && std::iscntrl(static_cast<unsigned char>(c)) != 0) || c == '`' || c == '|') {
      c = '_';
    }
  }
  return result;
}

}  // namespace espalier::codegen
