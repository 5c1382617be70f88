#include "espalier/study/rate_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "espalier/support/rng.hpp"

namespace espalier::study {
namespace {

double normal(Rng& rng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += rng.uniform();
  return sum;
}

// Plans, rates and seeds add up; `own` is the deviation of what a plan makes of a rate.
std::vector<RaceGain> race(std::uint64_t seed, double own, double noise,
                           std::vector<double>& truth) {
  Rng rng{seed, 1};
  std::vector<RaceGain> gains;
  std::vector<double> plans, rates, seeds;
  for (int i = 0; i < 4; ++i) plans.push_back(normal(rng));
  for (int i = 0; i < 3; ++i) rates.push_back(normal(rng));
  for (int i = 0; i < 8; ++i) seeds.push_back(10 * normal(rng));
  truth.clear();
  for (std::size_t p = 0; p < plans.size(); ++p) {
    for (std::size_t r = 0; r < rates.size(); ++r) {
      truth.push_back(plans[p] + rates[r] + own * normal(rng));
      const std::size_t ran = (p + r) % 3 == 0 ? 3 : 8;  // some leave early
      for (std::size_t s = 0; s < ran; ++s) {
        gains.push_back({p, r, s, truth.back() + seeds[s] + noise * normal(rng)});
      }
    }
  }
  return gains;
}

TEST(RateModel, WithoutNoiseItIsWhatWasMeasured) {
  for (const double own : {0.0, 0.7}) {
    std::vector<double> truth;
    const RateModel model(race(3, own, own > 0 ? 0.01 : 1e-5, truth));
    for (std::size_t i = 0; i < 12; ++i) {
      for (std::size_t j = 0; j < 12; ++j) {
        const Prediction d = model.difference(i / 3, i % 3, j / 3, j % 3);
        EXPECT_NEAR(d.mean, truth[i] - truth[j], own > 0 ? 0.05 : 1e-3);
      }
    }
    EXPECT_EQ(model.own() > 0, own > 0);
  }
}

// Errors are as large as it says, and smaller than those of means over the seeds that a pair
// shares.
TEST(RateModel, SaysHowSureItIsAndKnowsMoreThanPairs) {
  for (const double own : {0.0, 0.3}) {
    double squares = 0, paired = 0, within = 0, all = 0;
    for (std::uint64_t world = 0; world < 40; ++world) {
      std::vector<double> truth;
      const std::vector<RaceGain> gains = race(world, own, 1, truth);
      const RateModel model(gains);
      for (std::size_t i = 0; i < 12; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
          const Prediction d = model.difference(i / 3, i % 3, j / 3, j % 3);
          const double error = d.mean - (truth[i] - truth[j]);
          double sum = 0, pairs = 0;
          for (const RaceGain& a : gains) {
            if (a.plan * 3 + a.rate != i) continue;
            for (const RaceGain& b : gains) {
              if (b.plan * 3 + b.rate != j || a.seed != b.seed) continue;
              sum += a.gain - b.gain;
              pairs += 1;
            }
          }
          squares += error * error;
          paired += std::pow(sum / pairs - (truth[i] - truth[j]), 2);
          within += std::abs(error) < d.deviation ? 1 : 0;
          all += 1;
        }
      }
    }
    EXPECT_LT(squares, (own > 0 ? 0.75 : 0.5) * paired) << own;
    EXPECT_NEAR(within / all, 0.68, 0.12) << own;
  }
}

TEST(RateModel, OfOneGainAndOfEqualOnesNothingFails) {
  EXPECT_EQ(RateModel({{0, 0, 0, 0.5}}).difference(0, 0, 0, 0).mean, 0);
  const RateModel equal({{0, 0, 0, 0.5}, {0, 1, 0, 0.5}, {1, 0, 0, 0.5}});
  EXPECT_NEAR(equal.difference(0, 0, 1, 0).mean, 0, 1e-12);
  EXPECT_TRUE(std::isfinite(equal.difference(0, 0, 0, 1).deviation));
  EXPECT_GT(equal.difference(0, 0, 0, 2).deviation, equal.difference(0, 0, 0, 1).deviation);
}

}  // namespace
}  // namespace espalier::study
