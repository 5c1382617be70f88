#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>
#include <optional>

#include "espalier/data/classes.hpp"
#include "espalier/support/file.hpp"
#include "numpy.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

Error bad(std::string_view where, std::string_view what) {
  return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, what)};
}

// The text behind `'key':` in a header, which is a Python dictionary; empty without it.
std::string_view field(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(fmt::format("'{}'", key));
  if (at == std::string_view::npos) return {};
  header.remove_prefix(at + key.size() + 2);
  const std::size_t begin = header.find_first_not_of(": ");
  return begin == std::string_view::npos ? std::string_view() : header.substr(begin);
}

std::optional<std::vector<std::int64_t>> parse_shape(std::string_view text) {
  if (!text.starts_with('(')) return std::nullopt;
  text = text.substr(1, text.find(')') - 1);
  std::vector<std::int64_t> shape;
  while (true) {
    const std::size_t begin = text.find_first_not_of(", ");
    if (begin == std::string_view::npos) return shape;
    text.remove_prefix(begin);
    std::int64_t extent = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), extent);
    if (error != std::errc() || extent < 0 || shape.size() >= 8) return std::nullopt;
    shape.push_back(extent);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
}

// `'<f4'` and the like. False for what is not a little-endian number of 1, 2, 4 or 8 bytes.
bool parse_type(std::string_view text, NumpyArray& array) {
  if (text.size() < 5 || text[0] != '\'' || text[4] != '\'') return false;
  array.kind = text[2];
  array.bytes = text[3] - '0';
  const bool known = (array.kind == 'i' || array.kind == 'u' || array.kind == 'f') &&
                     (array.bytes == 1 || array.bytes == 2 || array.bytes == 4 || array.bytes == 8);
  return known && (text[1] == '<' || text[1] == '|' || (text[1] == '=' && array.bytes == 1));
}

// The integer at `i` of an array of integers.
std::int64_t integer_at(const NumpyArray& array, std::size_t i) {
  std::uint64_t bits = 0;
  const auto size = static_cast<std::size_t>(array.bytes);
  for (std::size_t b = size; b-- > 0;) {
    bits = bits << 8 | static_cast<unsigned char>(array.values[i * size + b]);
  }
  const int unused = 64 - 8 * array.bytes;
  return array.kind == 'i' ? static_cast<std::int64_t>(bits << unused) >> unused
                           : static_cast<std::int64_t>(std::min<std::uint64_t>(
                                 bits, std::numeric_limits<std::int64_t>::max()));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, "x"));
}

Status check_labels(const NumpyArray& labels, const NumpyArray& features, std::string_view where) {
  if (labels.kind == 'f') {
    const bool like_features = labels.shape == features.shape;
    // Keras' to_categorical makes floats.
    const bool rows = labels.shape.size() == 2 && labels.shape[1] > 1;
    return bad(where, fmt::format("labels are {}, which makes this {}; only classes, integers from "
                                  "0 on, can be learned{}",
                                  labels.type(), like_features ? "an autoencoder" : "a regression",
                                  like_features ? ""
                                  : rows        ? "; of one-hot rows take argmax(axis=1)"
                                                : "; of numbers of classes take astype('int64')"));
  }
  if (labels.elements() != (labels.shape.empty() ? 1 : labels.shape.front())) {
    return bad(where, fmt::format("labels have shape {}, and one number a sample is needed; of "
                                  "one-hot rows take argmax(axis=1)",
                                  shape_text(labels.shape)));
  }
  return Ok{};
}

}  // namespace

std::string NumpyArray::type() const {
  return fmt::format("{}{}", kind == 'f' ? "float" : kind == 'i' ? "int" : "uint", 8 * bytes);
}

std::int64_t NumpyArray::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

Result<NumpyArray> parse_npy(std::string_view file, std::string_view where, ArrayOf of) {
  constexpr std::size_t kShortest = 10;
  if (file.size() < kShortest || !file.starts_with("\x93NUMPY")) {
    return bad(where, "is not a .npy file; write it with numpy.save");
  }
  const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(file[i])}; };
  const bool long_header = byte(6) >= 2;
  if (long_header && file.size() < kShortest + 2) return bad(where, "is cut short");
  const std::size_t begin = long_header ? kShortest + 2 : kShortest;
  std::size_t size = byte(8) | byte(9) << 8;
  if (long_header) size |= byte(10) << 16 | byte(11) << 24;
  if (size > file.size() - begin) return bad(where, "is cut short in its header; write it again");
  const std::string_view header = file.substr(begin, size);

  NumpyArray array;
  const std::string_view type = field(header, "descr");
  if (!parse_type(type, array)) {
    const std::string_view advice =
        of == ArrayOf::kFeatures
            ? "such as with astype('float32')"
            : "with astype('int64'), or names with numpy.unique(y, return_inverse=True)[1]";
    return bad(where,
               fmt::format("elements of type {} are not read; convert them, {}",
                           type.substr(0, std::min<std::size_t>(type.find(','), 16)), advice));
  }
  if (!field(header, "fortran_order").starts_with("False")) {
    return bad(where, "is stored column by column; write numpy.ascontiguousarray of it");
  }
  const auto shape = parse_shape(field(header, "shape"));
  if (!shape) return bad(where, "has a header without a shape; write it again with numpy.save");
  array.shape = *shape;
  const std::string_view values = file.substr(begin + size);
  // In steps, so that no product overflows.
  std::int64_t expected = array.bytes;
  for (const std::int64_t extent : array.shape) {
    if (extent != 0 && expected > kMaxDatasetBytes / extent) {
      return bad(where, fmt::format("has shape {}, beyond the limit of {} bytes; use a part of it",
                                    shape_text(array.shape), kMaxDatasetBytes));
    }
    expected *= extent;
  }
  if (static_cast<std::int64_t>(values.size()) != expected) {
    return bad(where, fmt::format("has {} bytes of values where shape {} of {} makes {}; write it "
                                  "again",
                                  values.size(), shape_text(array.shape), array.type(), expected));
  }
  array.values = values;
  return array;
}

Result<Dataset> dataset_from_arrays(const NumpyArray& features, std::string_view where_features,
                                    const NumpyArray& labels, std::string_view where_labels) {
  ESPALIER_CHECK_OK(check_labels(labels, features, where_labels));
  Dataset dataset;
  const std::string type = features.type();
  if (type != "int8" && type != "uint8" && type != "float32") {
    return bad(where_features, fmt::format("features are {}; int8, uint8 or float32 are read, so "
                                           "convert them with astype('float32')",
                                           type));
  }
  std::vector<std::int64_t> extents;
  for (std::size_t d = 1; d < features.shape.size(); ++d) {
    // Extents of one say nothing, and some tools write more of them than there are axes.
    if (features.shape[d] != 1) extents.push_back(features.shape[d]);
  }
  const std::int64_t count = features.shape.empty() ? 0 : features.shape.front();
  if (count == 0 || extents.size() > 3 ||
      std::any_of(extents.begin(), extents.end(),
                  [](std::int64_t e) { return e == 0 || e > (std::int64_t{1} << 24); })) {
    return bad(where_features, fmt::format("features have shape {}; give samples of up to three "
                                           "axes, at least one of them",
                                           shape_text(features.shape)));
  }
  if (labels.elements() != count) {
    return bad(where_labels, fmt::format("{} labels for the {} samples of {}; name arrays that "
                                         "belong together",
                                         labels.elements(), count, where_features));
  }
  extents.resize(std::max<std::size_t>(extents.size(), 1), 1);
  const bool flat = extents.size() == 1;
  const int height = flat ? 1 : static_cast<int>(extents[0]);
  const int width = flat ? 1 : static_cast<int>(extents[1]);
  const int channels =
      flat ? static_cast<int>(extents[0]) : static_cast<int>(extents.size() == 3 ? extents[2] : 1);
  dataset.element = type == "int8"                              ? Element::kInt8
                    : type == "float32"                         ? Element::kFloat32
                    : !flat && (channels == 1 || channels == 3) ? Element::kPixel
                                                                : Element::kUint8;
  constexpr std::int64_t kMostClasses = 32767;
  const std::size_t record = features.values.size() / static_cast<std::size_t>(count);
  if (const std::int64_t most = most_records(static_cast<std::int64_t>(record)); count > most) {
    return bad(where_features, fmt::format("has {} samples of {} bytes, and {} are the limit; use "
                                           "a part of them",
                                           count, record, most));
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const std::int64_t label = integer_at(labels, i);
    if (label < 0 || label >= kMostClasses) {
      return bad(where_labels,
                 fmt::format("label {} of sample {}; labels are classes 0, 1, ...", label, i));
    }
    const auto* first = reinterpret_cast<const std::uint8_t*>(features.values.data()) + i * record;
    dataset.images.push_back({height, width, channels, {first, first + record}, {}, false});
    dataset.labels.push_back(static_cast<int>(label));
  }
  dataset.classes = 1 + *std::max_element(dataset.labels.begin(), dataset.labels.end());
  dataset.class_names = class_numbers(dataset.classes);
  return dataset;
}

Result<Dataset> read_npy(const std::filesystem::path& features,
                         const std::filesystem::path& labels) {
  ESPALIER_TRY(std::string content, read_data_file(features, kMaxDatasetBytes));
  ESPALIER_TRY(const std::string label_content, read_data_file(labels, kMaxDatasetBytes));
  ESPALIER_TRY(const NumpyArray x, parse_npy(content, features.string(), ArrayOf::kFeatures));
  ESPALIER_TRY(const NumpyArray y, parse_npy(label_content, labels.string(), ArrayOf::kLabels));
  ESPALIER_TRY(Dataset dataset, dataset_from_arrays(x, features.string(), y, labels.string()));
  dataset.sha256 = sha256_hex(content += label_content);
  return dataset;
}

}  // namespace espalier::data
