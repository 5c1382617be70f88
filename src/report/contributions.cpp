// What each part contributes: the gain of every weight by layer and ratio, and of biases by depth.
#include <fmt/format.h>

#include <algorithm>

#include "sections.hpp"

namespace espalier::report {
namespace {

// Names of a metric's columns and what they are drawn with.
struct Drawn {
  std::string gain;
  std::string error;
  std::string words;
};

Drawn drawn(Metric metric) {
  if (metric == Metric::kLoss) return {"loss_gain", "loss_error", "validation loss removed"};
  return {"accuracy_gain", "accuracy_error", "points of validation accuracy gained"};
}

const std::vector<Column> kGainColumns{
    {"loss_gain", "loss removed, nats", ColumnType::kNumber, 4},
    {"loss_error", "standard error of it", ColumnType::kNumber, 4},
    {"accuracy_gain", "accuracy gained, points", ColumnType::kNumber, 2},
    {"accuracy_error", "standard error of it, points", ColumnType::kNumber, 2}};

void add_gains(std::vector<Json>& row, const Gains& gains) {
  row.push_back(mean_of(gains.loss));
  row.push_back(error_of(gains.loss));
  row.push_back(scaled(mean_of(gains.accuracy), 100));
  row.push_back(scaled(error_of(gains.accuracy), 100));
}

// The plan whose parts are marked: of those of this model that train some of the weights measured
// here but not all of a layer range, the one of which most is predicted. One that was trained
// belongs to the profile of its data alone.
const Update* chosen_plan(const Documents& documents, const Updates& updates,
                          const Profile& profile) {
  const Update* chosen = nullptr;
  for (const Update& update : updates.all) {
    if (update.model.sha256 != profile.model.sha256 || !trains_some_channels(update.kind) ||
        !update.updates)
      continue;
    if (update.setting >= 0 && profile_for(documents, update) != &profile) continue;
    const auto gain = [](const Update& u) { return u.predicted.loss.value_or(-1e9); };
    if (chosen == nullptr || gain(update) > gain(*chosen)) chosen = &update;
  }
  return chosen;
}

Table weight_table(const Profile& profile, const Network* network, const Update* plan,
                   const std::string& id) {
  Table table{.id = id, .caption = "Gain of the weights of each conv at each ratio"};
  table.columns = {{"conv", "conv", ColumnType::kInteger},
                   {"kind", "kind of layer"},
                   {"ratio", "share of input channels", ColumnType::kNumber, 3}};
  table.columns.insert(table.columns.end(), kGainColumns.begin(), kGainColumns.end());
  table.columns.push_back({"chosen", "in the plan", ColumnType::kFlag});
  for (const Profile::Weight& weight : profile.weight) {
    std::vector<Json> row{weight.update.conv, kind_of(network, weight.update.conv),
                          weight.update.ratio};
    add_gains(row, weight.gains);
    row.emplace_back(plan != nullptr && std::any_of(plan->updates->begin(), plan->updates->end(),
                                                    [&](const WeightUpdate& update) {
                                                      return update.same_part(weight.update);
                                                    }));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table bias_table(const Profile& profile, const Update* plan, const std::string& id) {
  Table table{.id = id, .caption = "Gain of the biases of the last k convs, without any weights"};
  table.columns = {{"depth", "bias depth k", ColumnType::kInteger}};
  table.columns.insert(table.columns.end(), kGainColumns.begin(), kGainColumns.end());
  table.columns.push_back({"chosen", "in the plan", ColumnType::kFlag});
  for (const Profile::Bias& bias : profile.bias) {
    std::vector<Json> row{bias.depth};
    add_gains(row, bias.gains);
    row.emplace_back(plan != nullptr && plan->bias_depth == bias.depth);
    table.rows.push_back(std::move(row));
  }
  return table;
}

// A vertical line from mean - error to mean + error.
Json error_bars(const Json& x, const Drawn& d) {
  return {{"transform", spec::around(d.gain, d.error)},
          {"mark", {{"type", "rule"}, {"opacity", 0.5}}},
          {"encoding",
           {{"x", x},
            {"y", {{"field", "low"}, {"type", "quantitative"}}},
            {"y2", {{"field", "high"}}}}}};
}

Json weight_spec(const Table& table, const Drawn& d) {
  Json x = spec::channel(table, "conv");
  x["scale"] = {{"nice", false}};
  x["axis"] = spec::whole_axis();
  const Json y = spec::channel(table, d.gain);
  Json size = spec::channel(table, "ratio");
  size["scale"] = {{"domain", {0, 1}}, {"range", {12, 170}}};
  size["legend"] = spec::ratio_legend(table);
  Json result = spec::frame(320);
  result["layer"] = {
      spec::zero_line(),
      error_bars(x, d),
      spec::with_tooltip(
          {{"mark", {{"type", "point"}, {"filled", true}, {"opacity", 0.85}}},
           {"encoding",
            {{"x", x},
             {"y", y},
             {"color", spec::colour(table, "kind",
                                    {"pw1", "depthwise", "pw2", "pointwise", "full", "grouped"})},
             {"size", size}}}},
          table, {"conv", "kind", "ratio", d.gain, d.error, "chosen"}),
      {{"transform", spec::filter("datum.chosen")},
       {"mark", {{"type", "point"}, {"filled", false}, {"size", 260}, {"strokeWidth", 1.5}}},
       {"encoding", {{"x", x}, {"y", y}}}}};
  return result;
}

Json bias_spec(const Table& table, const Drawn& d) {
  Json x = spec::channel(table, "depth");
  x["scale"] = {{"nice", false}};
  x["axis"] = spec::whole_axis();
  const Json y = spec::channel(table, d.gain);
  Json result = spec::frame(240);
  result["layer"] = {
      spec::zero_line(),
      error_bars(x, d),
      spec::with_tooltip(
          {{"mark", {{"type", "line"}, {"point", true}}}, {"encoding", {{"x", x}, {"y", y}}}},
          table, {"depth", d.gain, d.error}),
      {{"transform", spec::filter("datum.chosen")},
       {"mark", {{"type", "point"}, {"filled", false}, {"size", 260}, {"strokeWidth", 1.5}}},
       {"encoding", {{"x", x}, {"y", y}}}}};
  return result;
}

// The largest gain of a profile in words, for those who do not see the drawing.
std::string largest(const Profile& profile, const Network* network, Metric metric) {
  const Profile::Weight* best = nullptr;
  const auto gain = [&](const Profile::Weight& w) {
    const auto& e = metric == Metric::kLoss ? w.gains.loss : w.gains.accuracy;
    return e ? e->mean : -1e300;
  };
  for (const Profile::Weight& weight : profile.weight) {
    if (best == nullptr || gain(weight) > gain(*best)) best = &weight;
  }
  if (best == nullptr || gain(*best) < -1e299) return "";
  const std::string kind = kind_of(network, best->update.conv);
  return fmt::format(" The largest is that of conv {}{} at ratio {:g}: {}.", best->update.conv,
                     kind == "not known" ? "" : " (" + kind + ")", best->update.ratio,
                     metric == Metric::kLoss ? fmt::format("{:.4f} nats", gain(*best))
                                             : fmt::format("{:.2f} points", gain(*best) * 100));
}

// What a figure is of: the model, and its file where profiles of several datasets or options are
// shown of it.
std::string subject(const Profile& profile, const std::vector<Profile>& all) {
  const auto same = std::count_if(all.begin(), all.end(), [&](const Profile& other) {
    return other.model.name == profile.model.name;
  });
  return same > 1 ? fmt::format("{} ({})", profile.model.name, profile.file) : profile.model.name;
}

}  // namespace

std::optional<Section> contribution_section(const Documents& documents, const Updates& updates,
                                            Metric metric) {
  if (documents.profiles.empty()) return std::nullopt;
  Section section{.id = "contributions", .title = "What each part contributes"};
  const Drawn d = drawn(metric);
  int n = 0;
  for (const Profile& profile : documents.profiles) {
    ++n;
    const Network* network = network_of(documents, profile.model);
    const Update* plan = chosen_plan(documents, updates, profile);
    std::string text = fmt::format(
        "{} ({}): {} seed{}, {} trainings; the head alone reaches {}.", profile.model.name,
        profile.file, profile.seeds, profile.seeds == 1 ? "" : "s", profile.trials.size(),
        profile.head_accuracy ? fmt::format("{:.2f} % on validation", *profile.head_accuracy * 100)
                              : "no usable accuracy");
    if (plan != nullptr) {
      text += fmt::format(
          " Rings mark what the plan {} trains{}.", plan->label,
          takes_turns(*plan) ? ", whose channels take turns; the gains are without turns" : "");
    }
    if (network == nullptr) {
      text += " The kinds of layers are not known: give the model's `espalier inspect --json` too.";
    }
    section.paragraphs.push_back(std::move(text));
    const std::string of = subject(profile, documents.profiles);
    Table weights = weight_table(profile, network, plan, fmt::format("weight-gains-{}", n));
    Table biases = bias_table(profile, plan, fmt::format("bias-gains-{}", n));
    section.figures.push_back(
        {fmt::format("weights-{}", n), of + ": gain of weights by layer and ratio",
         fmt::format("For each conv from input to output, {} by training the weights of a share of "
                     "its input channels, beside the biases from there on.{}",
                     d.words, largest(profile, network, metric)),
         weights.id, weight_spec(weights, d)});
    section.figures.push_back(
        {fmt::format("biases-{}", n), of + ": gain of biases by depth",
         fmt::format("{} by training the biases of the last k convs beside the head.",
                     static_cast<char>(std::toupper(d.words[0])) + d.words.substr(1)),
         biases.id, bias_spec(biases, d)});
    section.tables.push_back(std::move(weights));
    section.tables.push_back(std::move(biases));
  }
  return section;
}

}  // namespace espalier::report
