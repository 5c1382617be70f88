#include "formats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <regex>
#include <system_error>
#include <utility>

#include "espalier/import/importer.hpp"
#include "espalier/support/file.hpp"
#include "espalier/trials/store.hpp"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;

// The first bytes of a file, which tell what it is.
std::string beginning(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 512> buffer{};
  file.read(buffer.data(), buffer.size());
  return std::string(buffer.data(), static_cast<std::size_t>(file.gcount()));
}

}  // namespace

Format json_format(std::string_view schema) {
  // The schema is the first member of every document that is written.
  return {fmt::format("a document of schema {}", schema), false,
          [schema = std::string(schema)](const fs::path& path) {
            static const std::regex kFirst(R"re(^\s*\{\s*"schema"\s*:\s*"([^"]*)")re");
            const std::string text = beginning(path);
            std::smatch match;
            return std::regex_search(text, match, kFirst) && match[1] == schema;
          }};
}

Format text_format(std::string name, std::string_view start) {
  return {std::move(name), false, [start = std::string(start)](const fs::path& path) {
            return beginning(path).starts_with(start);
          }};
}

Format model_format() {
  // A ModelProto begins with the version of the format and the name of who produced it.
  return {"a model that Espalier exported", false, [](const fs::path& path) {
            constexpr std::string_view kProducer =
                "\x12\x08"
                "espalier";
            return beginning(path).substr(0, 16).find(kProducer) != std::string::npos ||
                   is_exported_tflite(path);
          }};
}

Format folder_format(std::string name, std::function<bool(std::string_view)> is_ours) {
  return {std::move(name), true,
          [is_ours](const fs::path& path) {
            std::error_code error;
            const fs::directory_iterator entries(path, error);
            return !error && std::all_of(begin(entries), end(entries), [&](const auto& entry) {
              return is_ours(entry.path().filename().string());
            });
          },
          [is_ours](const fs::path& file) { return is_ours(file.begin()->string()); }};
}

Format store_format() {
  return folder_format("a folder of trials", [](std::string_view name) {
    return name == "lock" || trials::is_record_name(name) || is_temporary_name(name);
  });
}

}  // namespace espalier::cli
