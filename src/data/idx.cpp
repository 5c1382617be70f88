#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "espalier/data/classes.hpp"
#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

constexpr std::size_t kLongestHeader = 4 + 4 * 4;
constexpr std::uint32_t kUnsignedBytes = 0x0800;  // the magic number without the dimensions
constexpr std::uint32_t kLabelsMagic = kUnsignedBytes | 1;

// An unpacked IDX file of unsigned bytes.
struct IdxFile {
  std::vector<std::int64_t> extents;
  std::string values;
};

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

// The first max_bytes of the file's content, decompressed where necessary.
Result<std::string> content_prefix(const std::string& stored, std::int64_t max_bytes,
                                   const std::string& where) {
  if (is_gzip(stored)) return gunzip(stored, max_bytes, where);
  return stored.substr(0, static_cast<std::size_t>(max_bytes));
}

// `what` is the kind of record in diagnostics. The dimensions are checked by the callers' `accept`,
// which sees them before any memory is taken for what they promise.
template <typename Accept>
Result<IdxFile> parse_idx(const std::string& stored, const std::string& where, const char* what,
                          Accept accept) {
  ESPALIER_TRY(const std::string head, content_prefix(stored, kLongestHeader, where));
  if (head.size() < 8) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: not an IDX file: {} bytes are fewer than its header has", where,
                             head.size())};
  }
  const std::uint32_t magic = big_endian(head, 0);
  ESPALIER_CHECK_OK(accept.magic(magic));
  const std::size_t dimensions = magic & 0xFF;
  const std::size_t header = 4 + 4 * dimensions;
  if (head.size() < header) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: the IDX header is cut short; fetch the file again", where)};
  }
  IdxFile file;
  for (std::size_t d = 0; d < dimensions; ++d) {
    file.extents.push_back(big_endian(head, 4 + 4 * d));
  }
  ESPALIER_CHECK_OK(accept.extents(file.extents));

  std::int64_t record = 1;
  for (std::size_t d = 1; d < dimensions; ++d) record *= file.extents[d];
  const std::int64_t count = file.extents[0];
  if (count == 0) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds no {}; name another file", where, what)};
  }
  if (count > most_records(record)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: the header promises {} records of {} bytes, and {} are the "
                             "limit; is the file damaged?",
                             where, count, record, most_records(record))};
  }
  const std::int64_t expected = static_cast<std::int64_t>(header) + count * record;
  // One byte more than promised shows that there is more, and makes gunzip check the end.
  ESPALIER_TRY(const std::string content, content_prefix(stored, expected + 1, where));
  const auto size = static_cast<std::int64_t>(content.size());
  if (size < expected) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: {} {} of {} is cut short; fetch the file again", where, what,
                             (size - static_cast<std::int64_t>(header)) / record, count)};
  }
  if (size > expected) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: goes on after the {} records that its header promises; is the "
                             "file damaged?",
                             where, count)};
  }
  file.values = content.substr(header);
  return file;
}

struct AcceptImages {
  const std::string& where;

  [[nodiscard]] Status magic(std::uint32_t magic) const {
    if (magic == (kUnsignedBytes | 3) || magic == (kUnsignedBytes | 4)) return Ok{};
    if (magic == kLabelsMagic) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: is a file of labels; write idx:IMAGES,LABELS", where)};
    }
    return Error{
        ErrorKind::kBadInput,
        fmt::format("{}: magic number {:08x}, but an IDX file of 8-bit images has 00000803 "
                    "(grey) or 00000804 (with channels); name another file",
                    where, magic)};
  }

  [[nodiscard]] Status extents(const std::vector<std::int64_t>& extents) const {
    const bool sides_fit = std::all_of(extents.begin() + 1, extents.begin() + 3, [](auto side) {
      return side >= 1 && side <= kMaxImageSide;
    });
    if (!sides_fit) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: images of {}x{} pixels; a side must have 1 to {}", where,
                               extents[1], extents[2], kMaxImageSide)};
    }
    if (extents.size() == 4 && extents[3] != 1 && extents[3] != 3) {
      return Error{
          ErrorKind::kBadInput,
          fmt::format("{}: {} channels; the last of four dimensions must be 1 or 3 (order: "
                      "image, row, column, channel)",
                      where, extents[3])};
    }
    return Ok{};
  }
};

struct AcceptLabels {
  const std::string& where;

  [[nodiscard]] Status magic(std::uint32_t magic) const {
    if (magic == kLabelsMagic) return Ok{};
    if (magic == (kUnsignedBytes | 3) || magic == (kUnsignedBytes | 4)) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: is a file of images; write idx:IMAGES,LABELS", where)};
    }
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: magic number {:08x}, but an IDX file of 8-bit labels has "
                             "00000801; name another file",
                             where, magic)};
  }

  [[nodiscard]] Status extents(const std::vector<std::int64_t>&) const { return Ok{}; }
};

}  // namespace

Result<Dataset> read_idx(const std::filesystem::path& images_path,
                         const std::filesystem::path& labels_path) {
  const std::string images_where = images_path.string();
  const std::string labels_where = labels_path.string();
  ESPALIER_TRY(std::string stored, read_data_file(images_path, kMaxDatasetBytes));
  ESPALIER_TRY(const std::string stored_labels, read_data_file(labels_path, kMaxDatasetBytes));
  ESPALIER_TRY(const IdxFile images,
               parse_idx(stored, images_where, "image", AcceptImages{images_where}));
  ESPALIER_TRY(const IdxFile labels,
               parse_idx(stored_labels, labels_where, "label", AcceptLabels{labels_where}));
  if (images.extents[0] != labels.extents[0]) {
    return Error{
        ErrorKind::kBadInput,
        fmt::format("{}: {} labels for the {} images of {}; name files that belong together",
                    labels_where, labels.extents[0], images.extents[0], images_where)};
  }

  Dataset dataset;
  dataset.sha256 = sha256_hex(stored += stored_labels);
  const int height = static_cast<int>(images.extents[1]);
  const int width = static_cast<int>(images.extents[2]);
  const int channels = images.extents.size() == 4 ? static_cast<int>(images.extents[3]) : 1;
  const std::size_t record = static_cast<std::size_t>(height) * width * channels;
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(images.values.data()) + i * record;
    dataset.images.push_back({height, width, channels, {first, first + record}});
    dataset.labels.push_back(static_cast<unsigned char>(labels.values[i]));
  }
  dataset.classes = 1 + *std::max_element(dataset.labels.begin(), dataset.labels.end());
  dataset.class_names = class_numbers(dataset.classes);
  return dataset;
}

}  // namespace espalier::data
