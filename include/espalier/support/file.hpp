// Reading whole files and writing them atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier {

/// Reads a whole file or pipe. Errors: kMissingInput when it cannot be opened, kBadInput when it is
/// a directory or device, cannot be read, or stands for a file that Git LFS has not fetched.
Result<std::string> read_file(const std::filesystem::path& path);

/// What a path leads to behind its links, which need not exist: a rename would replace the first
/// link and leave its target as it was.
std::filesystem::path behind_links(std::filesystem::path path);

/// Writes a whole file under a temporary name beside it and renames it once it is on the disk, so
/// that a reader sees the old content or the new one, never a part, even when the machine stops.
/// Links stay, and what they lead to is replaced. Devices and pipes are written in place. Errors:
/// kCannotWrite.
Status write_file_atomic(const std::filesystem::path& path, std::string_view content);

/// Writes a file in place: into a folder that nobody looks at yet. Errors: kCannotWrite.
Status write_file(const std::filesystem::path& path, std::string_view content);

/// A name to write `path` under until it is whole: PATH.tmp- and random digits.
std::filesystem::path temporary_beside(const std::filesystem::path& path);

/// Whether a file's name may be one of these.
bool is_temporary_name(std::string_view name);

/// NAME.other-options-DIGITS.EXTENSION for NAME.EXTENSION, by the digest of an `identity`.
std::filesystem::path kept_path(const std::filesystem::path& path, std::string_view identity);

/// Makes room for a result of other options: renames the file at `path` to kept_path(), and
/// returns that. Errors: kCannotWrite.
Result<std::filesystem::path> keep_beside(const std::filesystem::path& path,
                                          std::string_view identity);

/// Whether a name may be one that keep_beside() gave to what was called `original`.
bool is_kept_name(std::string_view name, const std::filesystem::path& original);

/// Removes from a folder the files that killed processes left under temporary names. What may still
/// be written, by a process of whatever machine, is younger than a day and stays.
void remove_stale_temporaries(const std::filesystem::path& folder);

/// Fails with kCannotWrite when write_file_atomic(path, ...) is bound to fail; call it before long
/// work whose result goes there.
Status check_writable(const std::filesystem::path& path);

/// Lower-case hexadecimal SHA-256 of the bytes.
std::string sha256_hex(std::string_view content);

}  // namespace espalier
