#include "testing/npy.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace espalier::testing {
namespace {

template <typename From, typename To>
std::vector<To> convert(const std::string& bytes, std::size_t offset, std::size_t count) {
  if (bytes.size() < offset + count * sizeof(From)) throw std::runtime_error("short .npy file");
  std::vector<From> raw(count);
  std::memcpy(raw.data(), bytes.data() + offset, count * sizeof(From));
  std::vector<To> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<To>(raw[i]);
  return values;
}

}  // namespace

std::optional<std::filesystem::path> shared_data() {
  const char* folder = std::getenv("ESPALIER_SHARED");
  if (folder == nullptr || !std::filesystem::exists(std::filesystem::path(folder) / "data")) {
    return std::nullopt;
  }
  return std::filesystem::path(folder) / "data";
}

template <typename T>
Array<T> read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.size() < 10 || bytes.compare(1, 5, "NUMPY") != 0) {
    throw std::runtime_error("not a .npy file: " + path.string());
  }
  const std::size_t header_size =
      static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, header_size);
  const std::size_t data = 10 + header_size;

  Array<T> array;
  const std::size_t open = header.find('(');
  const std::size_t close = header.find(')');
  std::size_t count = 1;
  for (std::size_t i = open + 1; i < close;) {
    if (header[i] < '0' || header[i] > '9') {
      ++i;
      continue;
    }
    std::size_t used = 0;
    const long long extent = std::stoll(header.substr(i), &used);
    array.shape.push_back(extent);
    count *= static_cast<std::size_t>(extent);
    i += used;
  }
  const auto has_type = [&](const char* type) { return header.find(type) != std::string::npos; };
  if (has_type("'<f4'")) {
    array.values = convert<float, T>(bytes, data, count);
  } else if (has_type("'|i1'")) {
    array.values = convert<std::int8_t, T>(bytes, data, count);
  } else if (has_type("'|u1'")) {
    array.values = convert<std::uint8_t, T>(bytes, data, count);
  } else if (has_type("'<i4'")) {
    array.values = convert<std::int32_t, T>(bytes, data, count);
  } else {
    throw std::runtime_error("unknown element type: " + path.string());
  }
  return array;
}

template Array<float> read_npy(const std::filesystem::path&);
template Array<std::int8_t> read_npy(const std::filesystem::path&);
template Array<std::uint8_t> read_npy(const std::filesystem::path&);
template Array<std::int32_t> read_npy(const std::filesystem::path&);

}  // namespace espalier::testing
