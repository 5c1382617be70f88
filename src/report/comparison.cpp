// Updates beside each other: what they reach, what they need, and what was predicted of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "against_published.hpp"
#include "equal_accuracy.hpp"
#include "espalier/support/statistics.hpp"
#include "sections.hpp"

namespace espalier::report {
namespace {

const std::vector<std::string> kKinds{"head only", "biases",    "last k",
                                      "sparse",    "published", "found"};

// Nothing where it is the accuracy, as on sets with as many samples of each class.
Json balanced_cell(const Update& update) {
  constexpr double kSame = 1e-6;
  if (!update.balanced || !update.reached.accuracy ||
      std::abs(update.balanced->mean - update.reached.accuracy->mean) < kSame) {
    return {};
  }
  return update.balanced->mean * 100;
}

Table comparison_table(const Updates& updates) {
  Table table{.id = "plans", .caption = "Plans compared"};
  table.columns = {{"update", "update"},
                   {"model", "model"},
                   {"setting", "setting"},
                   {"kind", "kind"},
                   {"bias_depth", "biases of the last convs", ColumnType::kInteger},
                   {"weights", "convs with trained weights", ColumnType::kInteger},
                   {"memory_kib", "extra memory, KiB", ColumnType::kNumber, 2},
                   {"accuracy", "test accuracy, %", ColumnType::kNumber, 2},
                   {"accuracy_error", "standard error, points", ColumnType::kNumber, 2},
                   {"balanced", "balanced over classes, %", ColumnType::kNumber, 2},
                   {"gain", "over the head alone, points", ColumnType::kNumber, 2},
                   {"seeds", "seeds", ColumnType::kInteger},
                   {"diverged", "diverged or collapsed", ColumnType::kInteger},
                   {"sram_kib", "SRAM on the device, KiB", ColumnType::kNumber, 1},
                   {"megacycles", "M cycles a step", ColumnType::kNumber, 2}};
  for (const Update& u : updates.all) {
    table.rows.push_back(
        {u.label, u.model.name, u.setting < 0 ? Json() : Json(setting_name(u.setting)), u.kind,
         u.bias_depth, u.weights, kib(u.analytic_bytes), scaled(mean_of(u.reached.accuracy), 100),
         scaled(error_of(u.reached.accuracy), 100), balanced_cell(u),
         u.kind == "head only" ? Json() : scaled(mean_of(u.gained.accuracy), 100),
         u.trainings.size(), u.diverged.size(), kib(u.sram_bytes),
         scaled(cell(u.cycles_per_step), 1e-6)});
  }
  return table;
}

Table accuracy_table(const Updates& updates, int setting, const Model& model,
                     const std::string& id) {
  Table table{.id = id, .caption = "Accuracy and extra memory"};
  table.columns = {{"update", "update"},
                   {"kind", "kind"},
                   {"memory_kib", "extra memory, KiB", ColumnType::kNumber, 2},
                   {"accuracy", "test accuracy, %", ColumnType::kNumber, 2},
                   {"error", "standard error, points", ColumnType::kNumber, 2},
                   {"seeds", "seeds", ColumnType::kInteger}};
  for (const Update& u : updates.all) {
    if (u.setting != setting || u.model.sha256 != model.sha256 || !u.reached.accuracy) continue;
    table.rows.push_back({u.label, u.kind, kib(u.analytic_bytes), u.reached.accuracy->mean * 100,
                          scaled(error_of(u.reached.accuracy), 100), u.trainings.size()});
  }
  std::stable_sort(table.rows.begin(), table.rows.end(),
                   [](const auto& a, const auto& b) { return a[2] < b[2]; });
  return table;
}

// From what reaches the accuracy of the best last layers to these, with how much less it needs.
Json saving_layers(const Saving& saving, const Json& x, const Json& y) {
  const double accuracy = saving.last->reached.accuracy->mean * 100;
  const auto at = [](const Json& channel, double value) {
    Json result = channel;
    result.erase("field");
    result["datum"] = value;
    return result;
  };
  const double from = kib(saving.plan->analytic_bytes).get<double>();
  const double to = kib(saving.last->analytic_bytes).get<double>();
  return {{{"data", spec::once()},
           {"mark", {{"type", "rule"}, {"strokeDash", {4, 3}}, {"opacity", 0.8}}},
           {"encoding", {{"x", at(x, from)}, {"x2", {{"datum", to}}}, {"y", at(y, accuracy)}}}},
          {{"data", spec::once()},
           {"mark", {{"type", "text"}, {"align", "right"}, {"dy", 12}, {"dx", -8}}},
           {"encoding",
            {{"x", at(x, to)},
             {"y", at(y, accuracy)},
             {"text", {{"value", fmt::format("{:.1f} times less", saving.ratio)}}}}}}};
}

Json accuracy_spec(const Table& table, const std::optional<Saving>& saving) {
  const Json x = spec::memory(table, "memory_kib");
  Json y = spec::channel(table, "accuracy");
  y["scale"] = {{"zero", false}};
  const Json colour = spec::colour(table, "kind", kKinds);
  Json band = y;
  band["field"] = "low";
  Json result = spec::frame(320);
  result["layer"] = {
      {{"transform", spec::filter("datum.kind === 'biases' || datum.kind === 'last k'")},
       {"mark", {{"type", "line"}, {"opacity", 0.6}}},
       {"encoding", {{"x", x}, {"y", y}, {"color", colour}}}},
      {{"transform", spec::around("accuracy", "error")},
       {"mark", {{"type", "rule"}, {"strokeWidth", 2}}},
       {"encoding", {{"x", x}, {"y", band}, {"y2", {{"field", "high"}}}, {"color", colour}}}},
      spec::with_tooltip(
          {{"mark", {{"type", "point"}, {"filled", true}, {"size", 90}, {"opacity", 1}}},
           {"encoding", {{"x", x}, {"y", y}, {"color", colour}, {"shape", colour}}}},
          table, {"update", "kind", "memory_kib", "accuracy", "error", "seeds"})};
  if (saving) {
    for (Json& layer : saving_layers(*saving, x, y)) result["layer"].push_back(std::move(layer));
  }
  return result;
}

void add_accuracy(Section& section, const Updates& updates, int setting, const Model& model) {
  Table table = accuracy_table(updates, setting, model,
                               fmt::format("accuracy-{}", section.figures.size() + 1));
  if (table.rows.size() < 2) return;
  const auto best = std::max_element(table.rows.begin(), table.rows.end(),
                                     [](const auto& a, const auto& b) { return a[3] < b[3]; });
  const std::string where = updates.settings.size() > 1 ? ", setting " + setting_name(setting) : "";
  const std::optional<Saving> saving = best_saving(updates, setting, model);
  section.figures.push_back(
      {fmt::format("memory-{}", section.figures.size() + 1),
       fmt::format("{}{}: accuracy against extra memory", model.name, where),
       fmt::format("{} updates from {:.2f} to {:.2f} KiB of extra training memory; {} is the most "
                   "accurate with {:.2f} %. Bars are one standard error over seeds.{}",
                   table.rows.size(), table.rows.front()[2].get<double>(),
                   table.rows.back()[2].get<double>(), (*best)[0].get<std::string>(),
                   (*best)[3].get<double>(), saving ? " " + in_words(*saving) : ""),
       table.id, accuracy_spec(table, saving)});
  section.tables.push_back(std::move(table));
}

// Whether an update has a place in the figure of predictions.
bool is_predicted(const Update& u, int setting, const Model& model, Metric metric) {
  return u.setting == setting && u.model.sha256 == model.sha256 && u.kind != "head only" &&
         u.predicted.of(metric) && u.gained.of(metric);
}

Table prediction_table(const Updates& updates, int setting, const Model& model, Metric metric,
                       const std::string& id) {
  const bool loss = metric == Metric::kLoss;
  const double unit = loss ? 1 : 100;
  Table table{.id = id, .caption = "Predicted and measured gain"};
  table.columns = {{"update", "update"},
                   {"kind", "kind"},
                   {"predicted", loss ? "predicted: loss removed, nats" : "predicted gain, points",
                    ColumnType::kNumber, loss ? 4 : 2},
                   {"measured", loss ? "measured: loss removed, nats" : "measured gain, points",
                    ColumnType::kNumber, loss ? 4 : 2},
                   {"error", "standard error of the measured", ColumnType::kNumber, loss ? 4 : 2}};
  for (const Update& u : updates.all) {
    if (!is_predicted(u, setting, model, metric)) continue;
    table.rows.push_back({u.label, u.kind, *u.predicted.of(metric) * unit,
                          u.gained.of(metric)->mean * unit,
                          scaled(error_of(u.gained.of(metric)), unit)});
  }
  return table;
}

Json prediction_spec(const Table& table) {
  const Json x = spec::channel(table, "predicted");
  const Json y = spec::channel(table, "measured");
  const Json colour = spec::colour(table, "kind", kKinds);
  Json band = y;
  band["field"] = "low";
  Json result = spec::frame(300);
  result["layer"] = {
      {{"transform", spec::around("measured", "error")},
       {"mark", {{"type", "rule"}, {"strokeWidth", 2}}},
       {"encoding", {{"x", x}, {"y", band}, {"y2", {{"field", "high"}}}, {"color", colour}}}},
      spec::with_tooltip(
          {{"mark", {{"type", "point"}, {"filled", true}, {"size", 90}, {"opacity", 1}}},
           {"encoding", {{"x", x}, {"y", y}, {"color", colour}, {"shape", colour}}}},
          table, {"update", "kind", "predicted", "measured", "error"})};
  return result;
}

void add_prediction(Section& section, const Updates& updates, int setting, const Model& model,
                    Metric metric) {
  Table table = prediction_table(updates, setting, model, metric,
                                 fmt::format("prediction-{}", section.figures.size() + 1));
  if (table.rows.empty()) return;
  std::vector<double> predicted;
  std::vector<double> measured;
  for (const auto& row : table.rows) {
    predicted.push_back(row[2].get<double>());
    measured.push_back(row[3].get<double>());
  }
  const std::optional<double> rank = rank_correlation(predicted, measured);
  const bool turns = std::any_of(updates.all.begin(), updates.all.end(), [&](const Update& u) {
    return is_predicted(u, setting, model, metric) && takes_turns(u);
  });
  const std::string where = updates.settings.size() > 1 ? ", setting " + setting_name(setting) : "";
  section.figures.push_back(
      {fmt::format("predicted-{}", section.figures.size() + 1),
       fmt::format("{}{}: predicted against measured gain", model.name, where),
       fmt::format("{} whole plans. Predicted is the sum of contributions on validation data, "
                   "measured the gain on test data over training the head alone.{} {}",
                   table.rows.size(),
                   turns ? " Contributions are without turns, also where channels of a plan take "
                           "them."
                         : "",
                   rank ? fmt::format("Spearman's rank correlation is {:.2f}.", *rank)
                        : "Too few plans, or too much alike, for a rank correlation."),
       table.id, prediction_spec(table)});
  section.tables.push_back(std::move(table));
}

}  // namespace

std::optional<Section> comparison_section(const Updates& updates, Metric metric) {
  if (updates.all.empty()) return std::nullopt;
  Section section{.id = "comparison", .title = "Plans compared"};
  Table table = comparison_table(updates);
  if (!several_models(updates)) {
    section.paragraphs.push_back(fmt::format("Model: {}.", updates.all[0].model.name));
  }
  for (std::size_t i = 0; i < updates.settings.size(); ++i) {
    const std::string name = setting_name(static_cast<int>(i));
    section.paragraphs.push_back(fmt::format("Setting {}: {}.", name, updates.settings[i]));
  }
  drop_plain_columns(table);
  section.tables.push_back(std::move(table));
  std::vector<std::string> done;
  for (const Update& update : updates.all) {
    const std::string group = fmt::format("{} {}", update.setting, update.model.sha256);
    if (update.setting < 0 || std::find(done.begin(), done.end(), group) != done.end()) continue;
    done.push_back(group);
    add_accuracy(section, updates, update.setting, update.model);
    add_against_published(section, updates, update.setting, update.model);
    add_equal_accuracy(section, updates, update.setting, update.model);
    add_prediction(section, updates, update.setting, update.model, metric);
  }
  return section;
}

}  // namespace espalier::report
