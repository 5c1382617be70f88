#include "espalier/report/build.hpp"

#include "sections.hpp"

namespace espalier::report {

Report build_report(const Documents& documents, const BuildOptions& options) {
  Report report{.title = options.title, .warnings = documents.warnings};
  for (const Read& read : documents.read) {
    report.sources.push_back({read.name, read.schema, read.sha256});
  }
  const Updates updates = collect_updates(documents);
  report.warnings.insert(report.warnings.end(), updates.conflicts.begin(), updates.conflicts.end());
  const auto add = [&](std::optional<Section> section) {
    if (section) report.sections.push_back(std::move(*section));
  };
  add(comparison_section(updates, options.metric));
  add(measured_front_section(documents));
  add(contribution_section(documents, updates, options.metric));
  add(plans_section(documents, updates));
  add(arena_section(documents));
  add(cycles_section(documents));
  if (report.sections.empty()) {
    report.warnings.emplace_back(
        "nothing is shown of these documents alone; give what analyze, search, plan or train "
        "wrote, compile --json for the arena, or check --json of a machine that counts cycles");
  }
  report.trials = trials_table(documents);
  return report;
}

}  // namespace espalier::report
