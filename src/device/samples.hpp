// What the driver trains on.
#pragma once

#include <filesystem>

#include "compiled_folder.hpp"
#include "espalier/device/check.hpp"

namespace espalier::device {

/// Writes check.bin, and check-samples.h, which takes it in as it is, on the host when it runs and
/// elsewhere when it is built: as an array in C it would cost compilers many times its size. Random samples by the seed, or those of the options.
/// Likewise recorded.bin and recorded-samples.h, of the steps that the folder has records of.
/// kBadInput, kMissingInput and kUsage for samples and labels that do not fit the folder,
/// kCannotWrite.
Status write_samples(const Folder& folder, const CheckOptions& options,
                     const std::filesystem::path& work);

}  // namespace espalier::device
