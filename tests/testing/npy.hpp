// Reference data for tests: where it is and how to read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace espalier::testing {

/// The shared data folder, from the environment variable ESPALIER_SHARED; nullopt without it.
std::optional<std::filesystem::path> shared_data();

/// An array from a .npy file (version 1, little endian, C order), converted to T.
template <typename T>
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<T> values;
};

/// Reads a .npy file of int8, uint8, int32 or float32; throws std::runtime_error on anything else.
template <typename T>
Array<T> read_npy(const std::filesystem::path& path);

extern template Array<float> read_npy(const std::filesystem::path&);
extern template Array<std::int8_t> read_npy(const std::filesystem::path&);
extern template Array<std::uint8_t> read_npy(const std::filesystem::path&);
extern template Array<std::int32_t> read_npy(const std::filesystem::path&);

/// NCHW to NHWC.
template <typename T>
std::vector<T> to_nhwc(const Array<T>& nchw) {
  const auto n = static_cast<std::size_t>(nchw.shape[0]);
  const auto c = static_cast<std::size_t>(nchw.shape[1]);
  std::size_t hw = 1;
  for (std::size_t d = 2; d < nchw.shape.size(); ++d) hw *= static_cast<std::size_t>(nchw.shape[d]);
  std::vector<T> nhwc(nchw.values.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < c; ++k) {
      for (std::size_t p = 0; p < hw; ++p) {
        nhwc[(i * hw + p) * c + k] = nchw.values[(i * c + k) * hw + p];
      }
    }
  }
  return nhwc;
}

}  // namespace espalier::testing

/// Skips a test visibly when the shared data is not there; otherwise declares `name`.
#define ESPALIER_SHARED_DATA_OR_SKIP(name)                                                      \
  const auto name##_optional = ::espalier::testing::shared_data();                              \
  if (!name##_optional) GTEST_SKIP() << "set ESPALIER_SHARED to the folder with the test data"; \
  const std::filesystem::path& name = *name##_optional
