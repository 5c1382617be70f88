#include "against_published.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "sections.hpp"

namespace espalier::report {
namespace {

// Of the memory that the found plan might take, how far a published one may be off.
constexpr double kNear = 0.05;

// The published plan of nearly the memory that it might take; several when that was trained at
// several rates.
std::vector<const Update*> nearest(const Updates& updates, const Update& found) {
  std::vector<const Update*> best;
  const std::int64_t memory = found.budget_bytes.value_or(*found.analytic_bytes);
  const auto distance = [&](const Update& u) { return std::abs(*u.analytic_bytes - memory); };
  for (const Update& u : updates.all) {
    if (u.setting != found.setting || u.model.sha256 != found.model.sha256) continue;
    if (u.kind != "published" || !u.reached.accuracy || !u.analytic_bytes) continue;
    if (static_cast<double>(distance(u)) > kNear * static_cast<double>(memory)) {
      continue;
    }
    if (!best.empty() && distance(u) > distance(*best.front())) continue;
    if (!best.empty() && distance(u) < distance(*best.front())) best.clear();
    best.push_back(&u);
  }
  return best;
}

}  // namespace

void add_against_published(Section& section, const Updates& updates, int setting,
                           const Model& model) {
  Table table{.id = fmt::format("against-published-{}", section.tables.size()),
              .caption = model.name + ": found plans beside published ones of the same memory"};
  table.columns = {
      {"update", "found"},
      {"memory_kib", "extra memory, KiB", ColumnType::kNumber, 2},
      {"accuracy", "test accuracy, %", ColumnType::kNumber, 2},
      {"published", "published"},
      {"published_kib", "its extra memory, KiB", ColumnType::kNumber, 2},
      {"published_accuracy", "its accuracy, %", ColumnType::kNumber, 2},
      {"above", "found above published, points", ColumnType::kNumber, 2},
      {"above_error", "standard error, paired by seed", ColumnType::kNumber, 2},
      {"seeds", "seeds in pairs", ColumnType::kInteger},
  };
  for (const Update& u : updates.all) {
    if (u.setting != setting || u.model.sha256 != model.sha256 || u.kind != "found") continue;
    if (!u.reached.accuracy || !u.analytic_bytes) continue;
    for (const Update* other : nearest(updates, u)) {
      const std::vector<double> pairs = paired_accuracy(u, *other);
      const std::optional<Estimate> above = estimate(pairs);
      table.rows.push_back({u.label, kib(u.analytic_bytes), u.reached.accuracy->mean * 100,
                            other->label, kib(other->analytic_bytes),
                            other->reached.accuracy->mean * 100, scaled(mean_of(above), 100),
                            scaled(error_of(above), 100), pairs.size()});
    }
  }
  if (!table.rows.empty()) section.tables.push_back(std::move(table));
}

}  // namespace espalier::report
