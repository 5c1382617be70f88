// Arrays as NumPy stores them: .npy files, and members of .npz files. Private to the module.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

// An array of little-endian elements in row-major order.
struct NumpyArray {
  char kind = 'f';  // i, u or f
  int bytes = 4;    // of an element
  std::vector<std::int64_t> shape;
  std::string values;

  [[nodiscard]] std::string type() const;  // such as int8
  [[nodiscard]] std::int64_t elements() const;
};

enum class ArrayOf { kFeatures, kLabels };

// Parses the content of a .npy file. Every error is kBadInput and starts with `where`.
Result<NumpyArray> parse_npy(std::string_view file, std::string_view where, ArrayOf of);

// A member of a zip archive: its name, and its content once it is asked for.
struct ZipMember {
  std::string name;
  std::string_view packed;
  bool deflated = false;
  std::int64_t size = 0;  // unpacked
  std::uint32_t crc = 0;  // of the unpacked content
};

// The members of a zip archive, whose bytes must stay where they are. kBadInput for what is none,
// and for members that are encrypted or packed in other ways than deflate.
Result<std::vector<ZipMember>> zip_members(std::string_view archive, std::string_view where);

// The content of a member, its checksum verified.
Result<std::string> unpack(const ZipMember& member, std::string_view where);

// Samples from features [n][...] of int8, uint8 or float32 and integer labels [n]. `where_features`
// and `where_labels` name the two in diagnostics. Fills all but spec and sha256.
Result<Dataset> dataset_from_arrays(const NumpyArray& features, std::string_view where_features,
                                    const NumpyArray& labels, std::string_view where_labels);

}  // namespace espalier::data
