#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>

#include "espalier/support/file.hpp"
#include "numpy.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

constexpr std::string_view kEnd("PK\x05\x06", 4);
constexpr std::string_view kEntry("PK\x01\x02", 4);
constexpr std::string_view kLocal("PK\x03\x04", 4);
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kEntrySize = 46;
constexpr std::size_t kLocalSize = 30;

std::uint32_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

Error damaged(std::string_view where, std::string_view what) {
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: {}; write it again with numpy.savez", where, what)};
}

// One entry of the directory, and where the next one begins.
Result<ZipMember> entry_at(std::string_view archive, std::size_t& at, std::string_view where) {
  if (at > archive.size() || archive.size() - at < kEntrySize ||
      !archive.substr(at).starts_with(kEntry)) {
    return damaged(where, "the directory of the archive is damaged");
  }
  const std::uint32_t flags = number(archive, at + 8, 2);
  const std::uint32_t method = number(archive, at + 10, 2);
  const std::uint32_t packed = number(archive, at + 20, 4);
  const std::uint32_t unpacked = number(archive, at + 24, 4);
  const std::size_t name_size = number(archive, at + 28, 2);
  const std::size_t next =
      at + kEntrySize + name_size + number(archive, at + 30, 2) + number(archive, at + 32, 2);
  const std::size_t local = number(archive, at + 42, 4);
  if (next > archive.size()) return damaged(where, "the directory of the archive is damaged");
  ZipMember member;
  member.name = archive.substr(at + kEntrySize, name_size);
  member.deflated = method == 8;
  member.size = unpacked;
  member.crc = number(archive, at + 16, 4);
  at = next;
  if ((flags & 1U) != 0 || (method != 0 && method != 8)) {
    return damaged(where,
                   fmt::format("'{}' is encrypted or packed in an unknown way", member.name));
  }
  if (packed == 0xFFFFFFFFU || unpacked == 0xFFFFFFFFU || local == 0xFFFFFFFFU) {
    return damaged(where, fmt::format("'{}' is larger than 4 GiB", member.name));
  }
  if (local > archive.size() || archive.size() - local < kLocalSize ||
      !archive.substr(local).starts_with(kLocal)) {
    return damaged(where, fmt::format("'{}' is not where the directory says", member.name));
  }
  const std::size_t begin =
      local + kLocalSize + number(archive, local + 26, 2) + number(archive, local + 28, 2);
  if (begin > archive.size() || packed > archive.size() - begin ||
      (!member.deflated && packed != unpacked)) {
    return damaged(where, fmt::format("'{}' is cut short", member.name));
  }
  member.packed = archive.substr(begin, packed);
  return member;
}

// Whether a member's name begins as names of features (or labels) do: x, X_train, features.npy.
bool begins_with_any(const std::string& name, const std::array<std::string_view, 5>& words) {
  std::string lower;
  for (const char c : name) {
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return lower.starts_with(word); });
}

constexpr std::array<std::string_view, 5> kFeatureWords{"x", "feature", "data", "input", "image"};
constexpr std::array<std::string_view, 5> kLabelWords{"y", "label", "target", "class", "output"};

// The only member that is called `wanted`, or whose name begins as `words` do where that is empty.
Result<ZipMember> choose(const std::vector<ZipMember>& members, const std::string& wanted,
                         const std::array<std::string_view, 5>& words, const char* what,
                         const std::string& where) {
  std::vector<ZipMember> fitting;
  std::vector<std::string> names;
  for (const ZipMember& member : members) {
    std::string name = member.name;
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    names.push_back(name);
    if (wanted.empty() ? begins_with_any(name, words) : name == wanted) fitting.push_back(member);
  }
  if (fitting.size() == 1) return fitting.front();
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: {} {}; it holds {}: name two of them, as npz:FILE,FEATURES,LABELS",
                           where, fitting.empty() ? "has no array of" : "has several arrays of",
                           wanted.empty() ? what : "'" + wanted + "'", fmt::join(names, ", "))};
}

}  // namespace

Result<std::vector<ZipMember>> zip_members(std::string_view archive, std::string_view where) {
  // The last record is followed by a comment of unknown length.
  const std::size_t end = archive.rfind(kEnd);
  if (!archive.starts_with("PK") || end == std::string_view::npos ||
      archive.size() - end < kEndSize) {
    return damaged(where, "is not a .npz file, or is cut short");
  }
  const std::size_t count = number(archive, end + 10, 2);
  std::size_t at = number(archive, end + 16, 4);
  std::vector<ZipMember> members;
  for (std::size_t i = 0; i < count; ++i) {
    ESPALIER_TRY(ZipMember member, entry_at(archive, at, where));
    members.push_back(std::move(member));
  }
  return members;
}

Result<std::string> unpack(const ZipMember& member, std::string_view where) {
  std::string content(member.packed);
  if (member.deflated) {
    ESPALIER_TRY(content, inflate_raw(member.packed, member.size + 1, where));
  }
  const auto* bytes = reinterpret_cast<const Bytef*>(content.data());
  if (static_cast<std::int64_t>(content.size()) != member.size ||
      crc32_z(0, bytes, content.size()) != member.crc) {
    return damaged(where, fmt::format("'{}' is damaged", member.name));
  }
  return content;
}

Result<Dataset> read_npz(const std::filesystem::path& file, const std::string& features,
                         const std::string& labels) {
  const std::string where = file.string();
  ESPALIER_TRY(const std::string archive, read_data_file(file, kMaxDatasetBytes));
  ESPALIER_TRY(const std::vector<ZipMember> members, zip_members(archive, where));
  ESPALIER_TRY(const ZipMember x, choose(members, features, kFeatureWords, "features", where));
  ESPALIER_TRY(const ZipMember y, choose(members, labels, kLabelWords, "labels", where));
  const std::string where_x = where + ": " + x.name;
  const std::string where_y = where + ": " + y.name;
  ESPALIER_TRY(const std::string x_content, unpack(x, where));
  ESPALIER_TRY(const std::string y_content, unpack(y, where));
  ESPALIER_TRY(const NumpyArray x_array, parse_npy(x_content, where_x, ArrayOf::kFeatures));
  ESPALIER_TRY(const NumpyArray y_array, parse_npy(y_content, where_y, ArrayOf::kLabels));
  ESPALIER_TRY(Dataset dataset, dataset_from_arrays(x_array, where_x, y_array, where_y));
  dataset.sha256 = sha256_hex(archive);
  return dataset;
}

}  // namespace espalier::data
