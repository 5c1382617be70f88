// Fuzzed bytes as files, for readers that take paths. They lie in a folder that goes with the
// process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "support/temp_folder.hpp"

namespace espalier::fuzz {

inline const testing::TempFolder& folder() {
  static const testing::TempFolder kFolder;
  return kFolder;
}

inline std::string path(const std::filesystem::path& name) {
  return (folder().path() / name).string();
}

/// Writes a file, again in every run, and returns its path.
inline std::string file(const std::filesystem::path& name, std::string_view content) {
  return folder().write(name, content);
}
inline std::string file(const std::filesystem::path& name, const std::uint8_t* data,
                        std::size_t size) {
  return file(name, {reinterpret_cast<const char*>(data), size});
}

}  // namespace espalier::fuzz
