// Names of parametrised tests.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace espalier::testing {

/// Any text, such as a file's name, as the name of a test: what is no letter or digit becomes `_`.
inline std::string test_name(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return text;
}

}  // namespace espalier::testing
