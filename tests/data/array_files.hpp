// Makes NumPy files in memory.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace espalier::testing {

template <typename T>
inline constexpr const char* kType = nullptr;
template <>
inline constexpr const char* kType<std::int8_t> = "|i1";
template <>
inline constexpr const char* kType<std::uint8_t> = "|u1";
template <>
inline constexpr const char* kType<std::int32_t> = "<i4";
template <>
inline constexpr const char* kType<std::int64_t> = "<i8";
template <>
inline constexpr const char* kType<float> = "<f4";
template <>
inline constexpr const char* kType<double> = "<f8";

/// A .npy file as NumPy writes it, format version 1, 2 or 3.
template <typename T>
std::string npy(const std::vector<T>& values, const std::vector<int>& shape, int version = 1,
                const std::string& type = kType<T>, bool fortran = false) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': (";
  for (const int extent : shape) header += std::to_string(extent) + ", ";
  header += "), }";
  header.resize(117, ' ');
  header += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  file += static_cast<char>(header.size());
  file += '\0';
  if (version > 1) file += std::string(2, '\0');
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return file;
}

inline std::string little(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

/// A zip archive of these members, stored or deflated.
inline std::string zip(const std::vector<std::pair<std::string, std::string>>& members,
                       bool deflated) {
  std::string archive;
  std::string directory;
  for (const auto& [name, content] : members) {
    std::string packed = content;
    if (deflated) {
      z_stream stream{};
      deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
      std::string input = content;
      packed.resize(content.size() + 1024);
      stream.next_in = reinterpret_cast<Bytef*>(input.data());
      stream.avail_in = static_cast<uInt>(input.size());
      stream.next_out = reinterpret_cast<Bytef*>(packed.data());
      stream.avail_out = static_cast<uInt>(packed.size());
      deflate(&stream, Z_FINISH);
      packed.resize(packed.size() - stream.avail_out);
      deflateEnd(&stream);
    }
    const auto crc = static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
    const std::string shared = little(0, 2) + little(deflated ? 8 : 0, 2) + little(0, 4) +
                               little(crc, 4) +
                               little(static_cast<std::uint32_t>(packed.size()), 4) +
                               little(static_cast<std::uint32_t>(content.size()), 4) +
                               little(static_cast<std::uint32_t>(name.size()), 2);
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + shared + little(0, 2) +
                 little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                 little(static_cast<std::uint32_t>(archive.size()), 4) + name;
    // NumPy leaves room for large files in front of each member.
    archive += "PK\x03\x04" + little(20, 2) + shared + little(20, 2) + name +
               std::string(20, '\1') + packed;
  }
  const auto count = static_cast<std::uint32_t>(members.size());
  return archive + directory + "PK\x05\x06" + little(0, 4) + little(count, 2) + little(count, 2) +
         little(static_cast<std::uint32_t>(directory.size()), 4) +
         little(static_cast<std::uint32_t>(archive.size()), 4) + little(0, 2);
}

}  // namespace espalier::testing
