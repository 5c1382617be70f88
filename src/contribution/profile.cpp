#include "espalier/contribution/profile.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "espalier/data/classes.hpp"
#include "espalier/support/statistics.hpp"
#include "espalier/train/result_sanity.hpp"

namespace espalier::contribution {
namespace {

// As many as --classes takes.
constexpr int kMostClasses = 32767;

Json to_json(const Estimate& e) {
  Json json{{"mean", e.mean}};
  if (e.standard_error) json["standard_error"] = *e.standard_error;
  return json;
}

Json to_json(const Gain& gain) {
  Json json;
  json["accuracy_gain"] = gain.accuracy ? to_json(*gain.accuracy) : Json(nullptr);
  json["loss_gain"] = gain.loss ? to_json(*gain.loss) : Json(nullptr);
  json["seeds"] = gain.seeds;
  if (gain.diverged > 0) json["diverged"] = gain.diverged;
  return json;
}

// Trials of one update, by seed.
using BySeed = std::map<std::uint64_t, const Trial*>;

Gain paired_gain(const BySeed& with, const BySeed& without) {
  Gain gain;
  std::vector<double> accuracy;
  std::vector<double> loss;
  for (const auto& [seed, trial] : with) {
    const auto base = without.find(seed);
    if (base == without.end()) continue;
    ++gain.seeds;
    if (trial->diverged || base->second->diverged) {
      ++gain.diverged;
      continue;
    }
    accuracy.push_back(trial->accuracy - base->second->accuracy);
    loss.push_back(base->second->loss - trial->loss);
  }
  if (gain.seeds > 0 && gain.diverged == 0) {
    gain.accuracy = estimate(accuracy);
    gain.loss = estimate(loss);
  }
  return gain;
}

// Pairs of score and gain, of updates that were measured without diverging.
struct Pairs {
  std::vector<double> score, accuracy, loss;

  void add(double fisher, const Gain& gain) {
    if (!gain.accuracy || !gain.loss) return;
    score.push_back(fisher);
    accuracy.push_back(gain.accuracy->mean);
    loss.push_back(gain.loss->mean);
  }
};

Json to_json(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json to_json(const Trial& trial) {
  Json row{{"depth", trial.spec.depth}};
  if (trial.spec.conv >= 0) {
    row["conv"] = trial.spec.conv;
    row["ratio"] = trial.spec.ratio;
  }
  row["seed"] = trial.spec.seed;
  if (trial.diverged) {
    row["diverged"] = true;
  } else {
    row["accuracy"] = trial.accuracy;
    row["loss"] = trial.loss;
  }
  return row;
}

Error bad(std::string_view where, std::string text) {
  return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, text)};
}

// What is read of `data` has the types that it is read as; it may lack any of it.
Status check_data(const Json& data, std::string_view where) {
  if (!data.is_object()) return bad(where, "'data' must be an object");
  for (const char* side : {"train", "validation"}) {
    const Json set = data.value(side, Json::object());
    if (!set.is_object() || !set.value("preprocess", Json("")).is_string() ||
        !set.value("selections", Json::array()).is_array()) {
      return bad(where, fmt::format("data: '{}' must be a sample set", side));
    }
  }
  return Ok{};
}

Result<Trial> trial_from_json(const Json& json, int conv_count, const std::string& where) {
  Trial trial;
  ESPALIER_TRY(trial.spec.depth, json_field<int>(json, "depth", where));
  ESPALIER_TRY(const std::int64_t seed, json_field<std::int64_t>(json, "seed", where));
  if (seed < 0) return bad(where, fmt::format("seed {} must be at least 0", seed));
  trial.spec.seed = static_cast<std::uint64_t>(seed);
  if (trial.spec.depth < 0 || trial.spec.depth > conv_count) {
    return bad(where, fmt::format("depth {} must lie in 0..{}", trial.spec.depth, conv_count));
  }
  if (json.contains("conv")) {
    ESPALIER_TRY(trial.spec.conv, json_field<int>(json, "conv", where));
    ESPALIER_TRY(trial.spec.ratio, json_field<double>(json, "ratio", where));
    if (trial.spec.depth == 0) return bad(where, "depth 0 reaches no conv, and this names one");
    if (trial.spec.conv != conv_count - trial.spec.depth) {
      return bad(where, fmt::format("conv {} must be the shallowest of depth {}", trial.spec.conv,
                                    trial.spec.depth));
    }
    if (!(trial.spec.ratio > 0) || trial.spec.ratio > 1) {
      return bad(where, fmt::format("ratio {} must lie in (0, 1]", trial.spec.ratio));
    }
  }
  if (json.contains("diverged")) {
    ESPALIER_TRY(trial.diverged, json_field<bool>(json, "diverged", where));
  }
  if (!trial.diverged) {
    ESPALIER_TRY(trial.accuracy, json_field<double>(json, "accuracy", where));
    ESPALIER_TRY(trial.loss, json_field<double>(json, "loss", where));
  }
  return trial;
}

}  // namespace

Estimate estimate(const std::vector<double>& values) {
  Estimate result;
  const auto n = static_cast<double>(values.size());
  for (const double v : values) result.mean += v / n;
  if (values.size() >= 2) result.standard_error = standard_error(values, result.mean);
  return result;
}

void summarise(Profile& profile, int conv_count) {
  std::vector<BySeed> bias(static_cast<std::size_t>(conv_count) + 1);
  std::vector<std::vector<BySeed>> weight(static_cast<std::size_t>(conv_count),
                                          std::vector<BySeed>(profile.ratios.size()));
  std::vector<double> accuracy;
  std::vector<double> loss;
  for (const Trial& trial : profile.trials) {
    if (trial.spec.conv < 0) {
      bias[static_cast<std::size_t>(trial.spec.depth)][trial.spec.seed] = &trial;
      if (trial.spec.depth == 0 && !trial.diverged) {
        accuracy.push_back(trial.accuracy);
        loss.push_back(trial.loss);
      }
      continue;
    }
    const auto ratio = std::find(profile.ratios.begin(), profile.ratios.end(), trial.spec.ratio);
    if (ratio == profile.ratios.end()) continue;
    weight[static_cast<std::size_t>(trial.spec.conv)]
          [static_cast<std::size_t>(ratio - profile.ratios.begin())][trial.spec.seed] = &trial;
  }
  profile.baseline_accuracy = estimate(accuracy);
  profile.baseline_loss = estimate(loss);
  profile.bias.clear();
  for (const BySeed& trials : bias) profile.bias.push_back(paired_gain(trials, bias[0]));
  profile.weight.clear();
  for (std::size_t conv = 0; conv < weight.size(); ++conv) {
    std::vector<Gain> row;
    for (const BySeed& trials : weight[conv]) {
      row.push_back(paired_gain(trials, bias[static_cast<std::size_t>(conv_count) - conv]));
    }
    profile.weight.push_back(std::move(row));
  }
}

RankCorrelations fisher_correlations(const Profile& profile) {
  RankCorrelations result;
  if (!profile.fisher) return result;
  Pairs bias;
  Pairs weight;
  for (std::size_t k = 1; k < profile.bias.size(); ++k) {
    bias.add(profile.fisher->bias[k], profile.bias[k]);
  }
  for (std::size_t conv = 0; conv < profile.weight.size(); ++conv) {
    for (std::size_t r = 0; r < profile.ratios.size(); ++r) {
      weight.add(profile.fisher->weight[conv][r], profile.weight[conv][r]);
    }
  }
  result.bias_accuracy = rank_correlation(bias.score, bias.accuracy);
  result.bias_loss = rank_correlation(bias.score, bias.loss);
  result.weight_accuracy = rank_correlation(weight.score, weight.accuracy);
  result.weight_loss = rank_correlation(weight.score, weight.loss);
  return result;
}

int class_count(const Profile& profile) {
  const auto train = profile.data.find("train");
  if (train == profile.data.end()) return 0;
  const Result<int> classes = json_field<int>(*train, "classes", "data");
  return classes.ok() && *classes <= kMostClasses ? std::max(0, *classes) : 0;
}

std::vector<std::string> class_names(const Profile& profile) {
  std::vector<std::string> names;
  const auto train = profile.data.find("train");
  if (train == profile.data.end()) return names;
  if (!train->contains("class_names")) return data::class_numbers(class_count(profile));
  for (const Json& name : train->at("class_names")) {
    if (!name.is_string()) return {};
    names.push_back(name.get<std::string>());
  }
  return names;
}

Json to_json(const Profile& profile) {
  Json json;
  json["schema"] = kProfileSchema;
  json["tool_version"] = profile.tool_version;
  json["model"] = {{"name", profile.model}, {"sha256", profile.model_sha256}};
  json["data"] = profile.data;
  json["recipe"] = train::to_json(profile.recipe);
  if (trials::on_device(profile.numerics)) {
    json["numerics"] = trials::numerics_name(profile.numerics);
    if (!profile.stochastic) json["rounding"] = trials::rounding_name(false);
  }
  json["seeds"] = profile.seeds;
  json["ratios"] = profile.ratios;
  json["baseline"] = {{"accuracy", to_json(profile.baseline_accuracy)},
                      {"loss", to_json(profile.baseline_loss)}};
  Json bias = Json::array();
  for (std::size_t k = 0; k < profile.bias.size(); ++k) {
    if (profile.bias[k].seeds == 0) continue;
    Json row{{"depth", k}};
    row.update(to_json(profile.bias[k]));
    if (profile.fisher) row["fisher"] = profile.fisher->bias[k];
    bias.push_back(std::move(row));
  }
  json["bias"] = std::move(bias);
  Json weight = Json::array();
  for (std::size_t conv = 0; conv < profile.weight.size(); ++conv) {
    for (std::size_t r = 0; r < profile.ratios.size(); ++r) {
      if (profile.weight[conv][r].seeds == 0) continue;
      Json row{{"conv", conv}, {"ratio", profile.ratios[r]}};
      row.update(to_json(profile.weight[conv][r]));
      if (profile.fisher) row["fisher"] = profile.fisher->weight[conv][r];
      weight.push_back(std::move(row));
    }
  }
  json["weight"] = std::move(weight);
  if (profile.fisher) {
    const RankCorrelations ranks = fisher_correlations(profile);
    json["fisher"] = {
        {"samples", profile.fisher->samples},
        {"rank_correlation",
         {{"bias",
           {{"accuracy", to_json(ranks.bias_accuracy)}, {"loss", to_json(ranks.bias_loss)}}},
          {"weight",
           {{"accuracy", to_json(ranks.weight_accuracy)}, {"loss", to_json(ranks.weight_loss)}}}}}};
  }
  Json trials = Json::array();
  for (const Trial& trial : profile.trials) trials.push_back(to_json(trial));
  json["trials"] = std::move(trials);
  return json;
}

Result<Profile> profile_from_json(const Json& document, const ir::Graph& graph,
                                  std::string_view where) {
  Profile profile;
  ESPALIER_TRY(const Json model, json_field<Json>(document, "model", where));
  ESPALIER_TRY(profile.model, json_field<std::string>(model, "name", where));
  ESPALIER_TRY(profile.model_sha256, json_field<std::string>(model, "sha256", where));
  if (profile.model_sha256 != graph.sha256) {
    return bad(where,
               fmt::format("measured on '{}' (SHA-256 {:.12}), not on '{}' ({:.12}); analyze "
                           "this model or name the other one",
                           profile.model, profile.model_sha256, graph.name, graph.sha256));
  }
  ESPALIER_TRY(profile.tool_version, json_field<std::string>(document, "tool_version", where));
  ESPALIER_TRY(profile.data, json_field<Json>(document, "data", where));
  ESPALIER_CHECK_OK(check_data(profile.data, where));
  ESPALIER_TRY(const Json recipe, json_field<Json>(document, "recipe", where));
  ESPALIER_TRY(profile.recipe, train::recipe_from_json(recipe, fmt::format("{}: recipe", where)));
  if (document.contains("numerics")) {
    ESPALIER_TRY(const auto name, json_field<std::string>(document, "numerics", where));
    const std::optional<trials::Numerics> numerics = trials::numerics_named(name);
    if (!numerics) {
      return bad(where, "'numerics' must be simulation, device or integer");
    }
    profile.numerics = *numerics;
  }
  if (document.contains("rounding")) {
    ESPALIER_TRY(const auto name, json_field<std::string>(document, "rounding", where));
    profile.stochastic = name == trials::rounding_name(true);
    if (name != trials::rounding_name(profile.stochastic)) {
      return bad(where, "'rounding' must be stochastic or nearest");
    }
  }
  for (const char* key : {"seeds", "ratios", "trials"}) {
    ESPALIER_TRY(const Json list, json_field<Json>(document, key, where));
    if (!list.is_array()) return bad(where, fmt::format("'{}' must be a list", key));
  }
  for (const Json& seed : document["seeds"]) {
    if (!seed.is_number_unsigned()) return bad(where, "'seeds' must hold integers of at least 0");
    profile.seeds.push_back(seed.get<std::uint64_t>());
  }
  for (const Json& ratio : document["ratios"]) {
    if (!ratio.is_number() || !(ratio.get<double>() > 0) || ratio.get<double>() > 1 ||
        (!profile.ratios.empty() && ratio.get<double>() <= profile.ratios.back())) {
      return bad(where, "'ratios' must ascend within (0, 1]");
    }
    profile.ratios.push_back(ratio.get<double>());
  }
  const auto conv_count = static_cast<int>(ir::conv_ops(graph).size());
  std::set<std::tuple<int, int, double, std::uint64_t>> seen;
  for (std::size_t i = 0; i < document["trials"].size(); ++i) {
    const std::string place = fmt::format("{}: trial {}", where, i);
    ESPALIER_TRY(const Trial trial, trial_from_json(document["trials"][i], conv_count, place));
    const TrialSpec& spec = trial.spec;
    if (!seen.emplace(spec.depth, spec.conv, spec.ratio, spec.seed).second) {
      return bad(place, "is of the same update and seed as one before it; list each once");
    }
    profile.trials.push_back(trial);
  }
  summarise(profile, conv_count);
  if (profile.bias[0].seeds == 0 || profile.bias[0].diverged > 0) {
    return bad(where, "holds no usable head-only trial; analyze again with a lower --lr");
  }
  return profile;
}

std::vector<std::string> baseline_doubts(const Profile& profile) {
  std::vector<std::string> all;
  if (!profile.baseline) return all;
  for (const std::string& doubt : train::doubts(*profile.baseline, class_names(profile))) {
    all.push_back("the head alone, which every gain is measured against: " + doubt);
  }
  return all;
}

}  // namespace espalier::contribution
