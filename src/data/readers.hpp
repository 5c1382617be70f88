// One reader per dataset format, and what they share. Private to the module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

// Each fills everything but Dataset::spec, and never returns an empty dataset.
Result<Dataset> read_cifar10(const std::vector<std::filesystem::path>& files);
Result<Dataset> read_idx(const std::filesystem::path& images, const std::filesystem::path& labels);
Result<Dataset> read_npy(const std::filesystem::path& features,
                         const std::filesystem::path& labels);
// Empty names are to be guessed.
Result<Dataset> read_npz(const std::filesystem::path& file, const std::string& features,
                         const std::string& labels);
Result<Dataset> read_csv(const std::filesystem::path& file, const std::string& column);
// With `decode` false, images are looked at and left for decode() to read.
Result<Dataset> read_folder(const std::filesystem::path& folder, bool decode);

// A picture file beyond this is not meant for a network of this size.
inline constexpr std::int64_t kMaxImageFileBytes = std::int64_t{64} << 20;
// Diagnostics about single images; the first few show the pattern.
inline constexpr std::size_t kMaxDiagnostics = 20;

// How many records of so many bytes a dataset may hold: each takes memory beside its values, which
// for small ones is most of it.
std::int64_t most_records(std::int64_t record_bytes);

// Reads a regular file of at most max_bytes; anything else, such as a device, is kBadInput.
Result<std::string> read_data_file(const std::filesystem::path& path, std::int64_t max_bytes);

// True when the bytes start like a gzip file.
bool is_gzip(std::string_view bytes);

// Decompresses gzip members until they end or max_bytes have come out, whichever is first; an end
// that was reached has been checked. kBadInput, starting with `where`, for damaged data.
Result<std::string> gunzip(std::string_view compressed, std::int64_t max_bytes,
                           std::string_view where);

// Decompresses a raw deflate stream, as zip archives hold it, until it ends or max_bytes have come
// out.
Result<std::string> inflate_raw(std::string_view compressed, std::int64_t max_bytes,
                                std::string_view where);

// The part of a JPEG file from its start to the end of its image, once its segments are complete,
// each component has a scan, and its Huffman tables are of possible size. stb paints missing data
// grey, takes missing scans for complete and, in the version of 2022 that Debian carries, writes
// beyond its tables when a file says so. The Error's diagnostic lacks the place.
Result<std::string_view> complete_jpeg(std::string_view file);

// Checks what can be told of a PNG or JPEG file without decoding it. The Error's diagnostic lacks
// the place.
Status check_image(std::string_view file);

// Decodes a PNG or JPEG file to grey or RGB, upright as its EXIF entry says. The Error's diagnostic
// lacks the place.
Result<Image> decode_image(std::string_view file);

// Where the stored rows and columns of a PNG or JPEG file belong: EXIF's orientation, 1 to 8; 1,
// which is as stored, when the file does not say.
int exif_orientation(std::string_view file);

// The image turned and mirrored as an orientation says.
Image upright(Image stored, int orientation);

}  // namespace espalier::data
