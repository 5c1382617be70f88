#include "espalier/study/believed_gains.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "espalier/cost/additive_terms.hpp"
#include "espalier/plan/update_plan.hpp"
#include "testing/random_graph.hpp"

namespace espalier::study {
namespace {

using contribution::Profile;
using search::Candidate;
using selection::Metric;

// A network whose gains are known: biases help more with depth, a conv's weights with its ratio.
class BelievedGainsTest : public ::testing::Test {
 protected:
  BelievedGainsTest() : graph_(testing::small_network(2)) {
    convs_ = static_cast<int>(cost::available_ratios(graph_, ratios_).size());
  }

  [[nodiscard]] static double bias(int depth) { return 0.1 * std::sqrt(depth); }
  [[nodiscard]] static double weight(int conv, double ratio) {
    return (0.01 + 0.02 * (conv % 3)) * std::sqrt(ratio);
  }

  [[nodiscard]] Profile profile(double noise, int seeds, std::uint64_t luck) const {
    Rng rng{luck};
    const auto error = [&] {
      double sum = 0;
      for (int i = 0; i < 12; ++i) sum += rng.uniform(-0.5, 0.5);
      return noise * sum;
    };
    Profile profile;
    profile.ratios = ratios_;
    const auto available = cost::available_ratios(graph_, ratios_);
    for (int s = 0; s < seeds; ++s) {
      const auto seed = static_cast<std::uint64_t>(s);
      profile.seeds.push_back(seed);
      const auto trial = [&](int depth, int conv, double ratio, double gain) {
        profile.trials.push_back({{depth, conv, ratio, seed}, 0.5 + gain, 2 - gain, false});
      };
      trial(0, -1, 0, 0);
      for (int depth = 1; depth <= convs_; ++depth) trial(depth, -1, 0, bias(depth) + error());
      for (int conv = 0; conv < convs_; ++conv) {
        for (std::size_t r = 0; r < ratios_.size(); ++r) {
          if (!available[static_cast<std::size_t>(conv)][r + 1]) continue;
          trial(convs_ - conv, conv, ratios_[r],
                bias(convs_ - conv) + weight(conv, ratios_[r]) + error());
        }
      }
    }
    contribution::summarise(profile, convs_);
    return profile;
  }

  // Root of the mean squared error of all gains of weights.
  [[nodiscard]] double error_of(const Profile& profile) const {
    double sum = 0;
    int count = 0;
    for (int conv = 0; conv < convs_; ++conv) {
      const auto& row = profile.weight[static_cast<std::size_t>(conv)];
      for (std::size_t r = 0; r < row.size(); ++r) {
        if (!row[r].loss) continue;
        const double off = row[r].loss->mean - weight(conv, ratios_[r]);
        sum += off * off;
        ++count;
      }
    }
    return std::sqrt(sum / count);
  }

  std::vector<double> ratios_{0.25, 0.5, 1.0};
  ir::Graph graph_;
  int convs_ = 0;
};

TEST_F(BelievedGainsTest, AreNearerToTheTruthThanWhatWasMeasured) {
  int nearer = 0;
  for (std::uint64_t luck = 1; luck <= 20; ++luck) {
    const Profile measured = profile(0.03, 1, luck);
    const BelievedGains believed(graph_, measured, Metric::kLoss);
    if (error_of(believed.profile()) < error_of(measured)) ++nearer;
  }
  EXPECT_GE(nearer, 18);
}

TEST_F(BelievedGainsTest, AreWhatWasMeasuredWithoutNoise) {
  const Profile measured = profile(1e-6, 1, 1);
  const Profile believed = BelievedGains(graph_, measured, Metric::kLoss).profile();
  EXPECT_LT(error_of(believed), 0.004);
  // What was not measured stays so; the other metric stays as it is.
  for (std::size_t conv = 0; conv < measured.weight.size(); ++conv) {
    for (std::size_t r = 0; r < measured.weight[conv].size(); ++r) {
      EXPECT_EQ(measured.weight[conv][r].loss.has_value(),
                believed.weight[conv][r].loss.has_value());
      if (measured.weight[conv][r].accuracy) {
        EXPECT_EQ(measured.weight[conv][r].accuracy->mean, believed.weight[conv][r].accuracy->mean);
      }
    }
  }
}

// A ratio that was left out lies between those that were not; a conv that was left out altogether
// stays so, and so does what diverged.
TEST_F(BelievedGainsTest, FillRatiosThatWereNotMeasured) {
  const Profile whole = profile(0, 2, 1);
  Profile part = whole;
  std::erase_if(part.trials, [&](const contribution::Trial& trial) {
    return trial.spec.ratio == 0.5 || trial.spec.conv == 4;
  });
  for (contribution::Trial& trial : part.trials) {
    trial.diverged = trial.spec.conv == 3 && trial.spec.ratio == 1.0;
  }
  contribution::summarise(part, convs_);
  const Profile believed = BelievedGains(graph_, part, Metric::kLoss).profile();
  int filled = 0;
  for (std::size_t conv = 0; conv < believed.weight.size(); ++conv) {
    const auto& row = believed.weight[conv];
    ASSERT_EQ(row.size(), 3U);
    if (conv == 4) {
      for (const contribution::Gain& gain : row) EXPECT_FALSE(gain.loss);
      continue;
    }
    EXPECT_EQ(row[2].loss.has_value(), conv != 3);
    if (conv == 3 || !part.weight[conv][0].loss || whole.weight[conv][1].seeds == 0) continue;
    ++filled;
    EXPECT_FALSE(part.weight[conv][1].loss);
    ASSERT_TRUE(row[1].loss);
    EXPECT_GT(row[1].loss->mean, row[0].loss->mean);
    EXPECT_LT(row[1].loss->mean, row[2].loss->mean);
  }
  EXPECT_GT(filled, 2);
}

// A profile may be told fewer ratios than it has trainings of.
TEST_F(BelievedGainsTest, TrainingsOfOtherRatiosTellNothing) {
  Profile other = profile(0.01, 2, 1);
  other.ratios = {0.25, 0.5};
  contribution::summarise(other, convs_);
  Profile without = other;
  std::erase_if(without.trials,
                [](const contribution::Trial& trial) { return trial.spec.ratio == 1.0; });
  const Profile a = BelievedGains(graph_, other, Metric::kLoss).profile();
  const Profile b = BelievedGains(graph_, without, Metric::kLoss).profile();
  for (std::size_t depth = 1; depth < a.bias.size(); ++depth) {
    EXPECT_EQ(a.bias[depth].loss->mean, b.bias[depth].loss->mean) << depth;
  }
}

// Depths between measured ones, but none beyond them.
TEST_F(BelievedGainsTest, FillDepthsThatWereNotMeasured) {
  Profile part = profile(0, 2, 1);
  ASSERT_GE(convs_, 6);
  std::erase_if(part.trials, [&](const contribution::Trial& trial) {
    return trial.spec.depth == 3 || trial.spec.depth > convs_ - 2;
  });
  contribution::summarise(part, convs_);
  const Profile believed = BelievedGains(graph_, part, Metric::kLoss).profile();
  EXPECT_FALSE(part.bias[3].loss);
  ASSERT_TRUE(believed.bias[3].loss);
  EXPECT_GT(believed.bias[3].loss->mean, believed.bias[2].loss->mean);
  EXPECT_LT(believed.bias[3].loss->mean, believed.bias[4].loss->mean);
  EXPECT_TRUE(believed.bias[static_cast<std::size_t>(convs_) - 2].loss);
  for (const int beyond : {convs_ - 1, convs_}) {
    EXPECT_FALSE(believed.bias[static_cast<std::size_t>(beyond)].loss);
  }
}

// A plan that is truly better is said to be, and the surer the more seeds there are; one that is
// truly equal is not.
TEST_F(BelievedGainsTest, ProbabilitiesFollowTheEvidence) {
  double one = 0;
  double many = 0;
  for (std::uint64_t luck = 1; luck <= 10; ++luck) {
    for (const int seeds : {1, 8}) {
      const Profile measured = profile(0.03, seeds, luck);
      const BelievedGains believed(graph_, measured, Metric::kLoss);
      Candidate plan{convs_, std::vector<std::uint8_t>(static_cast<std::size_t>(convs_), 0)};
      for (int conv = 2; conv < convs_; conv += 3) plan.choice[static_cast<std::size_t>(conv)] = 3;
      const Confidence confidence = believed.confidence(plan);
      EXPECT_GT(confidence.over_head, 0.99);
      ASSERT_TRUE(confidence.over_biases);
      EXPECT_GE(confidence.over_biases->depth, 1);
      (seeds == 1 ? one : many) += confidence.over_biases->probability / 10;
      const Candidate biases{confidence.over_biases->depth,
                             std::vector<std::uint8_t>(static_cast<std::size_t>(convs_), 0)};
      const Confidence same = believed.confidence(biases);
      ASSERT_TRUE(same.over_biases);
      EXPECT_LE(same.over_biases->probability, 0.5);
    }
  }
  EXPECT_GT(many, one);
  EXPECT_GT(many, 0.9);
}

// Nothing is claimed over what does not fit, or cannot be told.
TEST_F(BelievedGainsTest, ComparesOnlyWithWhatFits) {
  const Profile measured = profile(0.01, 1, 3);
  const BelievedGains believed(graph_, measured, Metric::kLoss);
  const Candidate head{0, std::vector<std::uint8_t>(static_cast<std::size_t>(convs_), 0)};
  const Confidence confidence = believed.confidence(head);
  EXPECT_EQ(confidence.over_head, 0.5);
  EXPECT_FALSE(confidence.over_biases);
  EXPECT_FALSE(confidence.over_last_layers);
  EXPECT_EQ(to_json(confidence)["over_biases"], Json(nullptr));
}

}  // namespace
}  // namespace espalier::study
