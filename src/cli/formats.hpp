// What the outputs of commands hold, and how an earlier one is told from anything else: only that
// is replaced without --force.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace espalier::cli {

/// The content of one output.
struct Format {
  std::string name;     ///< for people, with its article: "a contribution profile"
  bool folder = false;  ///< a folder of files
  /// Whether what lies at a path that exists, and is not empty, is one.
  std::function<bool(const std::filesystem::path&)> matches;
  /// Of a folder: whether a file in it, named from there, may be written. Null: any file.
  std::function<bool(const std::filesystem::path&)> writes = nullptr;
};

/// A document of a schema such as `espalier.plan/1`.
Format json_format(std::string_view schema);
/// A file that begins with these characters.
Format text_format(std::string name, std::string_view start);
/// A model that export_model() wrote.
Format model_format();
/// A folder whose files all have names that `is_ours` accepts.
Format folder_format(std::string name, std::function<bool(std::string_view)> is_ours);
/// A folder of finished trials.
Format store_format();

}  // namespace espalier::cli
