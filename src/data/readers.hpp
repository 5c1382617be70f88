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
Result<Dataset> read_folder(const std::filesystem::path& folder);

// Reads a regular file of at most max_bytes; anything else, such as a device, is kBadInput.
Result<std::string> read_data_file(const std::filesystem::path& path, std::int64_t max_bytes);

// True when the bytes start like a gzip file.
bool is_gzip(std::string_view bytes);

// Decompresses gzip members until they end or max_bytes have come out, whichever is first; an end
// that was reached has been checked. kBadInput, starting with `where`, for damaged data.
Result<std::string> gunzip(std::string_view compressed, std::int64_t max_bytes,
                           std::string_view where);

// The part of a JPEG file from its start to the end of its image, once its segments are complete
// and its Huffman tables are of possible size. stb paints missing data grey and, in the version of
// 2022 that Debian carries, writes beyond its tables when a file says so. The Error's diagnostic
// lacks the place.
Result<std::string_view> complete_jpeg(std::string_view file);

// Decodes a PNG or JPEG file to grey or RGB. The Error's diagnostic lacks the place.
Result<Image> decode_image(std::string_view file);

}  // namespace espalier::data
