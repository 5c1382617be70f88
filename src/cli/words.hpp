// What the command line says in place of its parsing library.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/words.hpp"

namespace espalier::cli {

/// What is wrong with a command line, in our words, and what was probably meant.
std::string explain(const CLI::Error& error, const CLI::App& command);

/// Accepts the integers low..high, or numbers of at least 0.
CLI::Validator between(std::int64_t low, std::int64_t high);
CLI::Validator at_least_0();
/// Accepts these words.
CLI::Validator one_of(std::vector<std::string> words);

/// The option of a command that `name`, without dashes, is a misspelling of.
std::string nearest_option(const CLI::App& command, const std::string& name);

/// Help with required options first and those that every command has last.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace espalier::cli
