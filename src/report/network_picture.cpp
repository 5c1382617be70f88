// Plans drawn over the network: what of each layer learns.
#include <fmt/format.h>

#include <algorithm>

#include "sections.hpp"

namespace espalier::report {
namespace {

// Convs of a model, as far as the documents tell; 0 when they do not.
int conv_count(const Documents& documents, const Model& model) {
  if (const Network* network = network_of(documents, model)) {
    return static_cast<int>(network->convs.size());
  }
  int count = 0;
  for (const Profile& profile : documents.profiles) {
    if (profile.model.sha256 != model.sha256) continue;
    // Of an analysis of some layers, or of a part of all trials, neither the deepest biases nor the
    // last conv tell; but weights are trained with the biases from their conv on.
    for (const Profile::Trial& trial : profile.trials) {
      if (trial.weights) count = std::max(count, trial.depth + trial.weights->conv);
    }
  }
  return count;
}

std::string state_of(double ratio, bool bias) {
  if (ratio > 0) return "bias and weights";
  return bias ? "bias" : "frozen";
}

Table network_table(const std::vector<const Update*>& plans, const Network* network, int convs,
                    const std::string& id) {
  Table table{.id = id, .caption = "What of each layer learns"};
  table.columns = {{"update", "plan"},
                   {"conv", "conv", ColumnType::kInteger},
                   {"kind", "kind of layer"},
                   {"state", "trained"},
                   {"ratio", "share of input channels", ColumnType::kNumber, 3}};
  for (const Update* plan : plans) {
    for (int conv = 0; conv < convs; ++conv) {
      const auto it = std::find_if(plan->updates->begin(), plan->updates->end(),
                                   [&](const WeightUpdate& u) { return u.conv == conv; });
      const double ratio = it == plan->updates->end() ? 0 : it->ratio;
      table.rows.push_back({plan->label, conv, kind_of(network, conv),
                            state_of(ratio, conv >= convs - plan->bias_depth),
                            ratio > 0 ? Json(ratio) : Json()});
    }
  }
  return table;
}

Json network_spec(const Table& table, std::size_t plans) {
  const Json x{{"field", "conv"},
               {"type", "ordinal"},
               {"title", "conv, from input to output"},
               {"axis", {{"labelOverlap", true}, {"labelSeparation", 4}, {"labelAngle", 0}}}};
  const Json y{{"field", "update"},
               {"type", "nominal"},
               {"title", nullptr},
               {"sort", nullptr},
               {"axis", {{"labelLimit", 110}}}};
  Json state = spec::colour(table, "state", {"frozen", "bias", "bias and weights"});
  state["scale"] = {{"domain", {"frozen", "bias", "bias and weights"}},
                    {"range", {"#8886", "#6fa8dc", "#d9a066"}}};
  Json ratio = spec::channel(table, "ratio");
  ratio["scale"] = {{"domain", {0, 1}}, {"range", {"#fbe3c8", "#b34700"}}};
  ratio["legend"] = spec::ratio_legend(table);
  const std::vector<std::string> told{"update", "conv", "kind", "state", "ratio"};
  Json result = spec::frame(static_cast<int>(std::max<std::size_t>(2, plans)) * 30);
  result["resolve"] = {{"scale", {{"color", "independent"}}}};
  result["layer"] = {spec::with_tooltip({{"mark", {{"type", "rect"}}},
                                         {"encoding", {{"x", x}, {"y", y}, {"color", state}}}},
                                        table, told),
                     spec::with_tooltip({{"transform", spec::filter("isValid(datum.ratio)")},
                                         {"mark", {{"type", "rect"}}},
                                         {"encoding", {{"x", x}, {"y", y}, {"color", ratio}}}},
                                        table, told)};
  return result;
}

std::string in_words(const Update& plan, int convs) {
  if (plan.bias_depth == 0) return fmt::format("{} freezes all {} convs.", plan.label, convs);
  std::string text = fmt::format("{} freezes {} of {} convs, trains the biases of the last {}",
                                 plan.label, convs - plan.bias_depth, convs, plan.bias_depth);
  if (plan.updates->empty()) return text + ".";
  text += " and weights of conv ";
  for (std::size_t i = 0; i < plan.updates->size(); ++i) {
    text += fmt::format("{}{} ({:g})", i == 0 ? "" : ", ", (*plan.updates)[i].conv,
                        (*plan.updates)[i].ratio);
  }
  return text + ".";
}

// The plans of a model that can be drawn, each once. Where some choose channels, the others, which
// their names describe, are left out.
std::vector<const Update*> drawn_plans(const Updates& updates, const Model& model, int convs) {
  std::vector<const Update*> plans;
  for (const Update& update : updates.all) {
    const bool shown = std::any_of(plans.begin(), plans.end(), [&](const Update* other) {
      return other->updates == update.updates && other->bias_depth == update.bias_depth;
    });
    const bool fits = update.updates && update.bias_depth <= convs &&
                      std::all_of(update.updates->begin(), update.updates->end(),
                                  [&](const WeightUpdate& u) { return u.conv < convs; });
    if (update.model.sha256 == model.sha256 && fits && !shown) plans.push_back(&update);
  }
  const auto chosen = std::stable_partition(plans.begin(), plans.end(), [](const Update* plan) {
    return trains_some_channels(plan->kind);
  });
  if (chosen != plans.begin()) plans.erase(chosen, plans.end());
  return plans;
}

}  // namespace

std::optional<Section> plans_section(const Documents& documents, const Updates& updates) {
  Section section{.id = "network", .title = "Plans over the network"};
  std::vector<std::string> done;
  for (const Update& first : updates.all) {
    const Model& model = first.model;
    if (std::find(done.begin(), done.end(), model.sha256) != done.end()) continue;
    done.push_back(model.sha256);
    const int convs = conv_count(documents, model);
    const std::vector<const Update*> plans = drawn_plans(updates, model, convs);
    if (convs == 0 || plans.empty()) {
      section.paragraphs.push_back(fmt::format(
          "{}: how many layers it has is not known, so its plans cannot be drawn; give its "
          "`espalier inspect --json` too.",
          model.name));
      continue;
    }
    Table table = network_table(plans, network_of(documents, model), convs,
                                fmt::format("layers-{}", done.size()));
    std::string words;
    for (const Update* plan : plans) words += (words.empty() ? "" : " ") + in_words(*plan, convs);
    section.figures.push_back({fmt::format("plan-{}", done.size()),
                               model.name + ": what each plan trains, layer by layer", words,
                               table.id, network_spec(table, plans.size())});
    section.tables.push_back(std::move(table));
  }
  if (section.figures.empty() && section.paragraphs.empty()) return std::nullopt;
  return section;
}

}  // namespace espalier::report
