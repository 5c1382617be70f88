#include "words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace espalier::cli {
namespace {

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands({})) names.push_back(sub->get_name());
  return names;
}

std::string unexpected(const std::string& word, const CLI::App& command) {
  const std::string name = word.substr(0, word.find('='));
  const std::string meant =
      nearest(name, name.starts_with('-') ? option_names(command) : command_names(command));
  return fmt::format("unexpected '{}'{}", word,
                     meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
}

// The option that a message of the library begins with, or ends with.
const CLI::Option* option_in(const std::string& message, const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    if (message.starts_with(name + ":") || message.find(" " + name + " = ") != std::string::npos) {
      return option;
    }
  }
  return nullptr;
}

std::string number_kind(const CLI::Option& option) {
  return option.get_type_name().starts_with("FLOAT") ? "a number" : "a whole number";
}

}  // namespace

std::string explain(const CLI::Error& error, const CLI::App& command) {
  // What a missing argument was misspelt as says more than that it is missing.
  const std::vector<std::string> unknown = command.remaining();
  if (!unknown.empty()) return unexpected(unknown.front(), command);
  for (const CLI::App* before = command.get_parent(); before != nullptr;
       before = before->get_parent()) {
    const std::vector<std::string> early = before->remaining();
    if (early.empty()) continue;
    return fmt::format("unexpected '{}' in front of '{}': options go behind the command",
                       early.front(), command.get_name());
  }
  const std::string message = error.what();
  const std::string kind = error.get_name();
  if (kind == "RequiredError" && message == "A subcommand is required") {
    return fmt::format("a command is required: {}", fmt::join(command_names(command), ", "));
  }
  const CLI::Option* option = option_in(message, command);
  if (option == nullptr) return message;
  const std::string name = option->get_name();
  const std::string value = option->results().empty() ? "" : option->results().back();
  if (kind == "ArgumentMismatch") {
    if (option->get_expected_min() == 0) return name + ": takes no value";
    const std::size_t times = option->count();
    if (times > 1) return fmt::format("{}: given {} times; give it once", name, times);
    return name + ": a value must follow";
  }
  if (kind == "ConversionError") {
    if (option->get_expected_min() == 0) return name + ": takes no value";
    return fmt::format("{}: '{}' is not {}", name, value, number_kind(*option));
  }
  return message;
}

CLI::Validator between(std::int64_t low, std::int64_t high) {
  const std::string range = fmt::format("{}..{}", low, high);
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        std::int64_t value = 0;
        const char* end = text.data() + text.size();
        const auto parsed = std::from_chars(text.data(), end, value);
        if (parsed.ec == std::errc() && parsed.ptr == end && value >= low && value <= high) {
          return {};
        }
        return fmt::format("'{}' is not an integer in {}", text, range);
      },
      range);
}

CLI::Validator at_least_0() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && value >= 0 && std::isfinite(value)) return {};
        return fmt::format("'{}' is not a number of at least 0", text);
      },
      "at least 0");
}

CLI::Validator one_of(std::vector<std::string> words) {
  const std::string list = fmt::format("{}", fmt::join(words, "|"));
  return CLI::Validator(
      [words](std::string& text) -> std::string {
        if (std::find(words.begin(), words.end(), text) != words.end()) return {};
        const std::string meant = nearest(text, words);
        return fmt::format("'{}' is none of {}{}", text, fmt::join(words, ", "),
                           meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
      },
      list);
}

std::string nearest_option(const CLI::App& command, const std::string& name) {
  const std::string found = nearest("--" + name, option_names(command));
  return found.empty() ? found : found.substr(2);
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  if (mode == CLI::AppFormatMode::Sub) return make_expanded(app);
  std::string text =
      make_description(app) + make_usage(app, std::move(name)) + make_positionals(app);
  const auto group = [&](const std::string& title, const auto& belongs) {
    const auto options = app->get_options(
        [&](const CLI::Option* option) { return option->nonpositional() && belongs(*option); });
    if (!options.empty()) text += make_group(title, false, options);
  };
  const auto common = [](const CLI::Option& o) { return o.get_group() == "Common options"; };
  group("Required options", [](const CLI::Option& o) { return o.get_required(); });
  group("Options", [&](const CLI::Option& o) { return !o.get_required() && !common(o); });
  group("Common options", common);
  return text + make_subcommands(app, mode) + "\n" + make_footer(app);
}

}  // namespace espalier::cli
