// Folders that are complete or absent.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "espalier/support/result.hpp"

namespace espalier {

/// What a folder's path, with a slash at its end or without, leads to behind its links.
std::filesystem::path folder_behind_links(const std::filesystem::path& folder);

/// Makes a folder and those it stands in, where they are not there. kCannotWrite.
Status make_folder(const std::filesystem::path& folder);

/// Writes text files, by name, into a folder. One that exists and is not empty is refused (kUsage)
/// unless `force`; then files of the same names are replaced, once all of the new ones are written,
/// and nothing else is touched. A folder that does not exist is written under a temporary name and
/// renamed, so that it is complete or absent; of two writers one wins and the other is told. Links
/// stay. Errors: also kCannotWrite.
Status write_folder(const std::filesystem::path& folder,
                    const std::map<std::string, std::string>& files, bool force);

}  // namespace espalier
