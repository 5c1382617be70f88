// A report as it was written, to be shown again.
#pragma once

#include <filesystem>

#include "espalier/report/report.hpp"

namespace espalier::report {

/// Whether the file is an `espalier.report/1`; false also when it cannot be read.
bool is_report(const std::filesystem::path& path);

/// Reads `report.json`: all but the single trainings, which stand in `trials.csv`. Errors:
/// kMissingInput, kBadInput.
Result<Report> read_report(const std::filesystem::path& path);

}  // namespace espalier::report
