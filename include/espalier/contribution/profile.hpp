// The contribution profile, `espalier.contributions/1`: what training each bias depth and each
// conv's weights gains, measured, with everything needed to measure it again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/contribution/fisher.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::contribution {

inline constexpr std::string_view kProfileSchema = "espalier.contributions/1";

/// What one training trains: the head alone (depth 0, conv -1), the head and the last `depth`
/// biases (conv -1), or those and a share of one conv's weights.
struct TrialSpec {
  int depth = 0;
  int conv = -1;
  double ratio = 0;
  std::uint64_t seed = 0;

  bool operator==(const TrialSpec&) const = default;
};

/// What it reached on the validation set.
struct Trial {
  TrialSpec spec;
  double accuracy = 0;  ///< in [0, 1]; meaningless when diverged
  double loss = 0;
  bool diverged = false;  ///< or collapsed
};

/// Mean over seeds and its standard error, which one seed cannot tell.
struct Estimate {
  double mean = 0;
  std::optional<double> standard_error;
};

/// Mean and standard error of values.
Estimate estimate(const std::vector<double>& values);

/// Gain of an update over what it is measured against, paired by seed. Without a value when any
/// seed diverged or was not measured.
struct Gain {
  std::optional<Estimate> accuracy;  ///< accuracy gained, as a share (0.01 = one point)
  std::optional<Estimate> loss;      ///< validation loss removed
  int seeds = 0;                     ///< trials behind it
  int diverged = 0;
};

struct Profile {
  std::string model;
  std::string model_sha256;
  std::string tool_version;
  Json data;             ///< identities of training and validation sets
  train::Recipe recipe;  ///< on the device: its batch is the samples of one update
  trials::Numerics numerics = trials::Numerics::kSimulation;
  bool stochastic = true;  ///< device numerics: rounding of steps; otherwise to nearest
  std::vector<std::uint64_t> seeds;
  std::vector<double> ratios;          ///< ascending
  std::vector<Trial> trials;           ///< all measurements, in a canonical order
  std::optional<FisherScores> fisher;  ///< when it was asked for; not read back
  /// Head only, first seed: what all gains are measured against. For judging it; in no document.
  std::optional<train::Evaluation> baseline;

  // Derived from trials by summarise().
  Estimate baseline_accuracy;  ///< head only
  Estimate baseline_loss;
  std::vector<Gain> bias;                 ///< [0..conv count]: over head only; [0] is 0
  std::vector<std::vector<Gain>> weight;  ///< [conv][ratio]: over biases down to the conv
};

/// Computes the derived members from the trials.
void summarise(Profile& profile, int conv_count);

/// How the Fisher scores of a profile rank its updates, against the measured gains.
struct RankCorrelations {
  std::optional<double> bias_accuracy, bias_loss;      ///< over bias depths
  std::optional<double> weight_accuracy, weight_loss;  ///< over convs and ratios
};
RankCorrelations fisher_correlations(const Profile& profile);

/// Classes of the data that the profile was measured on: how many, and their names; numbers in a
/// profile of an earlier version, which lacks them. 0 and empty when the profile does not say.
int class_count(const Profile& profile);
std::vector<std::string> class_names(const Profile& profile);

/// What is doubtful about the head alone, which every gain is measured against; nothing for a
/// profile that was read.
std::vector<std::string> baseline_doubts(const Profile& profile);

Json to_json(const Profile& profile);

/// Reads a profile for a graph; derived members are computed anew from the trials. kBadInput when
/// it is of another model or damaged.
Result<Profile> profile_from_json(const Json& document, const ir::Graph& graph,
                                  std::string_view where);

}  // namespace espalier::contribution
