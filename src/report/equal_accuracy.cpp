#include "equal_accuracy.hpp"

#include <fmt/format.h>

#include <utility>

#include "sections.hpp"

namespace espalier::report {
namespace {

using KindTest = bool (*)(const std::string&);

bool trains_last_layers(const std::string& kind) { return kind == "last k"; }

// Those of these kinds that were trained and whose memory is known.
std::vector<const Update*> of_kind(const Updates& updates, int setting, const Model& model,
                                   KindTest is) {
  std::vector<const Update*> found;
  for (const Update& u : updates.all) {
    if (u.setting != setting || u.model.sha256 != model.sha256 || !is(u.kind)) continue;
    if (u.reached.accuracy && u.analytic_bytes.value_or(0) > 0) found.push_back(&u);
  }
  return found;
}

// The one of least memory that is no less accurate; null when there is none.
const Update* least(const std::vector<const Update*>& among, double accuracy) {
  const Update* found = nullptr;
  for (const Update* u : among) {
    if (u->reached.accuracy->mean < accuracy) continue;
    if (found == nullptr || *u->analytic_bytes < *found->analytic_bytes) found = u;
  }
  return found;
}

double quotient(const Update& more, const Update& less) {
  return static_cast<double>(*more.analytic_bytes) / static_cast<double>(*less.analytic_bytes);
}

// Of each in `rows` which of `others` reaches it. `inverse` says that the others need less.
Table equal_table(const std::vector<const Update*>& rows, const std::vector<const Update*>& others,
                  bool inverse) {
  Table table;
  for (const Update* u : rows) {
    const Update* other = least(others, u->reached.accuracy->mean);
    std::vector<Json> row{u->label, u->model.name, setting_name(u->setting), kib(u->analytic_bytes),
                          u->reached.accuracy->mean * 100};
    if (other == nullptr) {
      row.insert(row.end(), {"none of those trained", Json(), Json(), Json()});
    } else {
      row.insert(row.end(),
                 {other->label, kib(other->analytic_bytes), other->reached.accuracy->mean * 100,
                  inverse ? quotient(*u, *other) : quotient(*other, *u)});
    }
    table.rows.push_back(std::move(row));
  }
  table.columns = {
      {"update", "update"},
      {"model", "model"},
      {"setting", "setting"},
      {"memory_kib", "extra memory, KiB", ColumnType::kNumber, 2},
      {"accuracy", "test accuracy, %", ColumnType::kNumber, 2},
      {"other", inverse ? "least plan that reaches it" : "least last k that reaches it"},
      {"other_kib", "its extra memory, KiB", ColumnType::kNumber, 2},
      {"other_accuracy", "its accuracy, %", ColumnType::kNumber, 2},
      {"ratio", inverse ? "times less" : "times more", ColumnType::kNumber, 2}};
  return table;
}

void add(Section& section, const Updates& updates, Table table, const std::string& id,
         const std::string& caption) {
  table.id = fmt::format("{}-{}", id, section.tables.size());
  table.caption = caption;
  const auto drop = [&](std::ptrdiff_t column) {
    table.columns.erase(table.columns.begin() + column);
    for (auto& row : table.rows) row.erase(row.begin() + column);
  };
  if (updates.settings.size() == 1) drop(2);
  if (!several_models(updates)) drop(1);
  section.tables.push_back(std::move(table));
}

}  // namespace

std::optional<Saving> best_saving(const Updates& updates, int setting, const Model& model) {
  Saving saving;
  for (const Update* u : of_kind(updates, setting, model, trains_last_layers)) {
    const auto better = [&] {
      const double gain = u->reached.accuracy->mean - saving.last->reached.accuracy->mean;
      return gain > 0 || (gain == 0 && *u->analytic_bytes < *saving.last->analytic_bytes);
    };
    if (saving.last == nullptr || better()) saving.last = u;
  }
  if (saving.last == nullptr) return std::nullopt;
  saving.plan = least(of_kind(updates, setting, model, trains_some_channels),
                      saving.last->reached.accuracy->mean);
  if (saving.plan == nullptr) return std::nullopt;
  saving.ratio = quotient(*saving.last, *saving.plan);
  if (saving.ratio <= 1) return std::nullopt;
  return saving;
}

std::string in_words(const Saving& saving) {
  return fmt::format(
      "The most accurate of the last layers, {} with {:.2f} %, is reached by {} with {:.1f} times "
      "less memory.",
      saving.last->label, saving.last->reached.accuracy->mean * 100, saving.plan->label,
      saving.ratio);
}

void add_equal_accuracy(Section& section, const Updates& updates, int setting, const Model& model) {
  const auto last = of_kind(updates, setting, model, trains_last_layers);
  const auto plans = of_kind(updates, setting, model, trains_some_channels);
  if (last.empty() || plans.empty()) return;
  add(section, updates, equal_table(plans, last, false), "equal-accuracy",
      "Memory at equal accuracy: what the last layers need to reach each plan");
  add(section, updates, equal_table(last, plans, true), "equal-last-k",
      "Memory at equal accuracy: what a plan needs to reach the last layers");
}

}  // namespace espalier::report
