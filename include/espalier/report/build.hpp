// From documents to what is shown of them.
#pragma once

#include "espalier/report/documents.hpp"
#include "espalier/report/report.hpp"

namespace espalier::report {

enum class Metric { kAccuracy, kLoss };

struct BuildOptions {
  std::string title = "Espalier report";
  Metric metric = Metric::kLoss;  ///< what gains are drawn in; tables have both
};

/// A pure function: equal documents in equal order make equal reports. Sections without anything to
/// show are left out.
Report build_report(const Documents& documents, const BuildOptions& options = {});

}  // namespace espalier::report
