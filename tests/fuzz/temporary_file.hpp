// Fuzzed bytes as a file, for readers that take paths.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace espalier::fuzz {

/// A file of this process that every run overwrites.
inline std::filesystem::path write_temporary(const std::string& name, const std::uint8_t* data,
                                             std::size_t size) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / (name + "." + std::to_string(getpid()));
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return path;
}

}  // namespace espalier::fuzz
