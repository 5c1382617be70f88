// Races of whole plans: what those that were found gained at each budget, and the front of that.
#include <fmt/format.h>

#include <algorithm>

#include "espalier/support/bytes.hpp"
#include "sections.hpp"

namespace espalier::report {
namespace {

using Race = MeasuredSearch::Race;

std::string label_of(const Race& race) {
  return race.plan.empty() ? "plan for " + format_bytes(Bytes{race.budget_bytes}) : race.plan;
}

// At the rate that the plan carries, where rates raced too.
const Estimate& measured(const Race& race) { return race.at_rate ? *race.at_rate : race.gained; }

// Whether no plan of no more memory gained more, nor as much with less.
bool on_front(const MeasuredSearch& search, const Race& race) {
  if (race.lost) return false;
  return std::none_of(search.races.begin(), search.races.end(), [&](const Race& other) {
    const double above = measured(other).mean - measured(race).mean;
    return !other.lost && other.memory_bytes <= race.memory_bytes &&
           (above > 0 || (above == 0 && other.memory_bytes < race.memory_bytes));
  });
}

Table races_table(const std::vector<MeasuredSearch>& searches) {
  Table table{.id = "races", .caption = "What whole plans gained in their races"};
  table.columns = {
      {"plan", "plan"},
      {"model", "model"},
      {"search", "search"},
      {"budget_kib", "budget, KiB", ColumnType::kNumber, 2},
      {"memory_kib", "extra memory, KiB", ColumnType::kNumber, 2},
      {"sram_kib", "SRAM on the device, KiB", ColumnType::kNumber, 1},
      {"megamacs", "M multiply-accumulates a step", ColumnType::kNumber, 2},
      {"megacycles", "M cycles a step", ColumnType::kNumber, 2},
      {"gain", "accuracy gained in the race, points", ColumnType::kNumber, 2},
      {"gain_error", "standard error, points", ColumnType::kNumber, 2},
      {"diverged", "diverged or collapsed", ColumnType::kInteger},
      {"additive", "the additive optimum in the same race, points", ColumnType::kNumber, 2},
      {"additive_error", "its standard error, points", ColumnType::kNumber, 2},
      {"above_runner_up", "probability to be above the runner-up", ColumnType::kNumber, 3},
      {"above_additive", "probability to be above the optimum", ColumnType::kNumber, 3},
      {"rate", "learning rate of its own", ColumnType::kNumber, 4},
      {"rate_gain", "accuracy gained at it, points", ColumnType::kNumber, 2},
      {"rate_error", "standard error of that, points", ColumnType::kNumber, 2},
      {"front", "on the front", ColumnType::kFlag}};
  for (std::size_t i = 0; i < searches.size(); ++i) {
    for (const Race& r : searches[i].races) {
      table.rows.push_back({label_of(r), searches[i].model.name, setting_name(static_cast<int>(i)),
                            kib(r.budget_bytes), kib(r.analytic_bytes), kib(r.planned_bytes),
                            scaled(cell(r.step_macs), 1e-6), scaled(cell(r.step_cycles), 1e-6),
                            r.lost ? Json() : Json(r.gained.mean * 100),
                            r.lost ? Json() : scaled(error_of(r.gained), 100), r.diverged,
                            scaled(mean_of(r.additive), 100), scaled(error_of(r.additive), 100),
                            cell(r.above_runner_up), cell(r.above_additive), cell(r.rate),
                            scaled(mean_of(r.at_rate), 100), scaled(error_of(r.at_rate), 100),
                            on_front(searches[i], r)});
    }
  }
  return table;
}

Table front_table(const MeasuredSearch& search, const std::string& id) {
  Table table{.id = id, .caption = "Measured gain and memory"};
  table.columns = {{"plan", "plan"},
                   {"memory_kib", search.planned ? "SRAM on the device, KiB" : "extra memory, KiB",
                    ColumnType::kNumber, 2},
                   {"gain", "accuracy gained over the head alone, points", ColumnType::kNumber, 2},
                   {"error", "standard error, points", ColumnType::kNumber, 2},
                   {"front", "on the front", ColumnType::kFlag}};
  for (const Race& race : search.races) {
    if (race.lost) continue;
    table.rows.push_back({label_of(race), kib(race.memory_bytes), measured(race).mean * 100,
                          scaled(error_of(measured(race)), 100), on_front(search, race)});
  }
  std::stable_sort(table.rows.begin(), table.rows.end(),
                   [](const auto& a, const auto& b) { return a[1] < b[1]; });
  return table;
}

Json front_spec(const Table& table) {
  const Json x = spec::memory(table, "memory_kib");
  Json y = spec::channel(table, "gain");
  y["scale"] = {{"zero", false}};
  Json low = y;
  low["field"] = "low";
  const Json points{{"x", x}, {"y", y}};
  const std::vector<std::string> told{"plan", "memory_kib", "gain", "error", "front"};
  Json result = spec::frame(320);
  result["layer"] = {
      {{"transform", spec::filter("datum.front")},
       {"mark", {{"type", "line"}, {"opacity", 0.6}}},
       {"encoding", {{"x", x}, {"y", y}}}},
      {{"transform", spec::around("gain", "error")},
       {"mark", {{"type", "rule"}, {"strokeWidth", 2}}},
       {"encoding", {{"x", x}, {"y", low}, {"y2", {{"field", "high"}}}}}},
      spec::with_tooltip(
          {{"mark", {{"type", "point"}, {"filled", false}, {"size", 90}, {"opacity", 1}}},
           {"encoding", points}},
          table, told),
      spec::with_tooltip(
          {{"transform", spec::filter("datum.front")},
           {"mark", {{"type", "point"}, {"filled", true}, {"size", 90}, {"opacity", 1}}},
           {"encoding", points}},
          table, told)};
  return result;
}

// What a search says of all its budgets.
std::string in_words(const MeasuredSearch& search) {
  std::string text = fmt::format("{}{} ({}): {} trainings, {} of them diverged.", search.model.name,
                                 search.dataset.empty() ? "" : " on " + search.dataset, search.file,
                                 search.trainings, search.diverged);
  if (search.rank_before && search.rank_after) {
    text += fmt::format(
        " Sums of single gains rank the measured plans with a correlation of {:.2f}, the fitted "
        "model with one of {:.2f}.",
        *search.rank_before, *search.rank_after);
  }
  return text;
}

void add_front(Section& section, const MeasuredSearch& search, const std::string& which) {
  const std::size_t n = section.figures.size() + 1;
  Table table = front_table(search, fmt::format("front-points-{}", n));
  if (table.rows.size() < 2) return;
  const auto best =
      std::max_element(search.races.begin(), search.races.end(), [](const Race& a, const Race& b) {
        return a.lost != b.lost ? a.lost : measured(a).mean < measured(b).mean;
      });
  const bool rates = std::any_of(search.races.begin(), search.races.end(),
                                 [](const Race& race) { return race.at_rate.has_value(); });
  section.figures.push_back(
      {fmt::format("front-{}", n),
       fmt::format("{}{}: measured gain against memory", search.model.name, which),
       fmt::format(
           "{} plans from {:.2f} to {:.2f} KiB of {}; {} gained the most, {:.2f} points of "
           "validation accuracy over the head alone{}. The line joins those that no plan of no "
           "more memory beats; hollow points are beaten. Bars are one standard error over seeds.",
           table.rows.size(), table.rows.front()[1].get<double>(),
           table.rows.back()[1].get<double>(),
           search.planned ? "SRAM on the device" : "extra training memory", label_of(*best),
           measured(*best).mean * 100,
           rates ? ", each plan at its own learning rate where it has one" : ""),
       table.id, front_spec(table)});
  section.tables.push_back(std::move(table));
}

}  // namespace

std::optional<Section> measured_front_section(const Documents& documents) {
  Section section{.id = "measured-front", .title = "Measured front"};
  Table table = races_table(documents.searches);
  if (table.rows.empty()) return std::nullopt;
  drop_plain_columns(table);
  section.tables.push_back(std::move(table));
  for (std::size_t i = 0; i < documents.searches.size(); ++i) {
    const MeasuredSearch& search = documents.searches[i];
    const std::string name = setting_name(static_cast<int>(i));
    section.paragraphs.push_back(fmt::format("Search {}: {}", name, in_words(search)));
    add_front(section, search, documents.searches.size() > 1 ? ", search " + name : "");
  }
  return section;
}

}  // namespace espalier::report
