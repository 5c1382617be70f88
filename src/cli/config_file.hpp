// Files of option=value lines: what --print-config prints and --config reads. A part of TOML, with
// nothing passed over: what is not understood is an error.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::cli {

/// One line. A flag alone on its line has no values, an array has any number, all else has one.
struct ConfigItem {
  int line = 0;
  std::string name;
  std::optional<std::vector<std::string>> values;
};

/// Reads lines `name = value`, or `name` for a flag. A value is a text in double quotes, in which
/// \" \\ \n and \t are escapes, one in single quotes, which is taken as it is, an array [a, b] of
/// these, or anything else up to the end of the line. A comment begins with # outside of quotes, or
/// with ; at the beginning of a line.
/// Errors: kUsage, with `where` and the line.
Result<std::vector<ConfigItem>> parse_config(std::string_view text, std::string_view where);

/// A line that reads as this.
std::string config_line(const std::string& name, const std::vector<std::string>& values);

}  // namespace espalier::cli
