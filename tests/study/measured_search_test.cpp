#include "espalier/study/measured_search.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "../search/random_problem.hpp"
#include "espalier/search/remember.hpp"
#include "espalier/search/validate.hpp"

namespace espalier::study {
namespace {

using search::Candidate;

// A world where plans are not the sum of their parts: pairs of trained layers add or take away.
class World {
 public:
  explicit World(std::uint64_t seed, double noise = 0.0, int layers = 6, int options = 2)
      : World(seed, noise, testing::random_problem(seed, layers, options, 1)) {}
  World(std::uint64_t seed, double noise, search::Problem truth)
      : seed_(seed), noise_(noise), truth_(std::move(truth)) {
    const int layers = truth_.layers;
    Rng rng{seed, 99};
    for (int a = 0; a < layers; ++a) {
      for (int b = 0; b < a; ++b) pairs_[{a, b}] = rng.uniform(-0.5, 0.15);
    }
  }

  /// Single gains as an analysis would have measured them.
  [[nodiscard]] const search::Problem& problem() const { return truth_; }

  [[nodiscard]] double gain(const Candidate& candidate) const {
    double sum = search::objective(truth_, candidate);
    for (const auto& [pair, value] : pairs_) {
      if (candidate.choice[static_cast<std::size_t>(pair.first)] != 0 &&
          candidate.choice[static_cast<std::size_t>(pair.second)] != 0) {
        sum += value;
      }
    }
    return sum;
  }

  [[nodiscard]] Measure measure() const {
    return
        [this](const std::vector<Request>& requests) -> Result<std::vector<std::optional<double>>> {
          std::vector<std::optional<double>> gains;
          for (const Request& r : requests) {
            Rng rng{seed_, r.seed, r.stage == Stage::kSearch ? 0U : 1U, key(r.candidate)};
            double sum = 0;
            for (int i = 0; i < 12; ++i) sum += rng.uniform(-0.5, 0.5);
            gains.emplace_back(gain(r.candidate) + noise_ * sum);
          }
          return gains;
        };
  }

  /// The best gain of any feasible plan, and how many there are.
  [[nodiscard]] std::pair<double, int> optimum() const {
    double best = -1e9;
    int count = 0;
    testing::for_each_candidate(truth_, [&](const Candidate& candidate) {
      if (!search::is_feasible(truth_, candidate)) return;
      best = std::max(best, gain(candidate));
      ++count;
    });
    return {best, count};
  }

  static std::uint64_t key(const Candidate& candidate) {
    std::uint64_t hash = static_cast<std::uint64_t>(candidate.depth);
    for (const std::uint8_t option : candidate.choice) hash = hash * 31 + option;
    return hash;
  }

 private:
  std::uint64_t seed_;
  double noise_;
  search::Problem truth_;
  std::map<std::pair<int, int>, double> pairs_;
};

// A world whose plans cost what no sum can tell.
World peak_world(std::uint64_t seed, double noise = 0.0) {
  return {seed, noise, testing::with_peak(testing::random_problem(seed, 6, 2, 1), 0.7)};
}

void expect_the_optimum_with_a_tenth_of_all_trainings(
    const std::function<World(std::uint64_t)>& make) {
  int worlds = 0;
  for (std::uint64_t seed = 1; seed <= 400 && worlds < 12; ++seed) {
    const World world = make(seed);
    const auto [best, count] = world.optimum();
    if (count < 400 || best < 0.5) continue;
    ++worlds;
    MeasuredSearchOptions options;
    options.measurements = count / 10 - 12;
    options.seeds = {0};
    options.race_seeds = 2;
    options.finalists = 4;
    options.seed = seed;
    const Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_LE(result->measurements, count / 10);
    EXPECT_GE(world.gain(result->plans[0].solution.candidate), 0.99 * best)
        << "world " << seed << ": " << count << " plans";
  }
  EXPECT_EQ(worlds, 12);
}

TEST(MeasuredSearch, ReachesTheOptimumWithATenthOfAllTrainings) {
  expect_the_optimum_with_a_tenth_of_all_trainings([](std::uint64_t seed) { return World(seed); });
}

TEST(MeasuredSearch, ReachesItUnderACostThatIsNoSum) {
  expect_the_optimum_with_a_tenth_of_all_trainings(
      [](std::uint64_t seed) { return peak_world(seed); });
}

void expect_never_worse_than_adding_up(const std::function<World(std::uint64_t)>& make) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const World world = make(seed);
    MeasuredSearchOptions options;
    options.measurements = 20;
    options.seed = seed;
    const Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok());
    const MeasuredPlan& plan = result->plans[0];
    EXPECT_TRUE(search::validate(world.problem(),
                                 search::make_solution(world.problem(), plan.solution.candidate))
                    .ok());
    const auto additive =
        std::find_if(plan.finalists.begin(), plan.finalists.end(),
                     [&](const Finalist& f) { return f.candidate == plan.additive.candidate; });
    ASSERT_NE(additive, plan.finalists.end());
    EXPECT_GE(plan.solution.objective, additive->mean());
    EXPECT_GE(plan.over_additive, 0.5);
  }
}

TEST(MeasuredSearch, IsNeverWorseThanAddingUpByItsOwnValidation) {
  expect_never_worse_than_adding_up([](std::uint64_t seed) { return World(seed, 0.2); });
}

TEST(MeasuredSearch, NorIsItUnderACostThatIsNoSum) {
  expect_never_worse_than_adding_up([](std::uint64_t seed) { return peak_world(seed, 0.2); });
}

// Nor with learning rates that suit each plan differently, and noise that is not the race's alone.
TEST(MeasuredSearch, NorIsItAtRatesOfItsOwn) {
  for (const bool of_finalists : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
      SCOPED_TRACE(fmt::format("{} {}", of_finalists, seed));
      const World world(seed, 0.2);
      const Measure plans = world.measure();
      const Measure measure = [&](const std::vector<Request>& requests) {
        auto gains = plans(requests);
        for (std::size_t i = 0; i < requests.size(); ++i) {
          const Request& r = requests[i];
          if (r.stage != Stage::kRates) continue;
          Rng suits{seed, static_cast<std::uint64_t>(r.rate * 100), World::key(r.candidate)};
          Rng noise{seed, r.seed, static_cast<std::uint64_t>(r.rate * 100),
                    World::key(r.candidate)};
          *(*gains)[i] += suits.uniform(-0.2, 0.2) + noise.uniform(-0.2, 0.2);
        }
        return gains;
      };
      MeasuredSearchOptions options;
      options.measurements = 20;
      options.seed = seed;
      options.rates = {0.1, 0.2, 0.3};
      options.usual_rate = 0.1;
      options.rates_of_finalists = of_finalists;
      const auto result = measured_search({world.problem()}, measure, options);
      ASSERT_TRUE(result.ok()) << result.error().message();
      const MeasuredPlan& plan = result->plans[0];
      const auto additive =
          std::find_if(plan.finalists.begin(), plan.finalists.end(),
                       [&](const Finalist& f) { return f.candidate == plan.additive.candidate; });
      ASSERT_NE(additive, plan.finalists.end());
      EXPECT_GE(plan.over_additive, 0.5);
      // At its best rate, where both raced at all.
      if (additive->rate == plan.finalists.front().rate) {
        EXPECT_GE(plan.finalists.front().mean(), additive->mean());
      }
    }
  }
}

TEST(MeasuredSearch, TheAdditiveOptimumIsTheBestSumUnderTheTrueCost) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    const World world = peak_world(seed);
    MeasuredSearchOptions options;
    options.measurements = 6;
    Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_NEAR(result->plans[0].additive.objective,
                testing::brute_force(world.problem()).objective, 1e-12);
    // One that is given is taken.
    options.additive = {search::empty_candidate(world.problem())};
    result = measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->plans[0].additive.candidate, options.additive[0]);
  }
}

TEST(MeasuredSearch, DependsNotOnThreadsNorOnWhatCostsRemember) {
  const World world = peak_world(3, 0.1);
  search::Problem problem = world.problem();
  const auto plain = std::get<search::CostFunction>(problem.constraints[0].cost);
  MeasuredSearchOptions options;
  options.measurements = 40;
  const Result<MeasuredSearchResult> expected =
      measured_search({problem}, world.measure(), options);
  ASSERT_TRUE(expected.ok());
  problem.constraints[0].cost = search::remembered(plain);
  for (const int jobs : {1, 2, 5}) {
    options.jobs = jobs;
    const Result<MeasuredSearchResult> other = measured_search({problem}, world.measure(), options);
    ASSERT_TRUE(other.ok());
    ASSERT_EQ(other->observations.size(), expected->observations.size());
    for (std::size_t i = 0; i < other->observations.size(); ++i) {
      EXPECT_EQ(other->observations[i].candidate, expected->observations[i].candidate) << i;
    }
    EXPECT_EQ(other->plans[0].solution, expected->plans[0].solution);
    EXPECT_EQ(other->plans[0].over_additive, expected->plans[0].over_additive);
  }
}

// Planning is what takes long: a candidate is planned once, whichever budget, draw or round asks.
TEST(MeasuredSearch, BudgetsShareWhatTheirCostsRemember) {
  const World world = peak_world(5);
  search::Problem large = world.problem();
  std::mutex mutex;
  std::map<std::pair<int, std::vector<std::uint8_t>>, int> asked;
  large.constraints[0].cost = search::remembered(
      [&, plain = std::get<search::CostFunction>(large.constraints[0].cost)](const Candidate& c) {
        const std::lock_guard lock(mutex);
        ++asked[{c.depth, c.choice}];
        return plain(c);
      });
  search::Problem small = large;
  small.constraints[0].limit = small.constraints[0].limit * 3 / 4;
  const Result<MeasuredSearchResult> result =
      measured_search({small, large}, world.measure(), {.measurements = 60});
  ASSERT_TRUE(result.ok()) << result.error().message();
  ASSERT_EQ(result->plans.size(), 2U);
  EXPECT_LE(result->plans[0].solution.costs[0], small.constraints[0].limit);
  EXPECT_LE(result->plans[1].solution.costs[0], large.constraints[0].limit);
  for (const auto& [candidate, times] : asked) EXPECT_EQ(times, 1);
  EXPECT_GT(asked.size(), 60U);
}

TEST(MeasuredSearch, ALimitBelowTheHeadIsRefusedWithTheLeastThatIsNot) {
  const World world = peak_world(2);
  search::Problem problem = world.problem();
  const std::int64_t least = search::cost(problem.constraints[0], search::empty_candidate(problem));
  problem.constraints[0].limit = least - 1;
  const auto result = measured_search({problem}, world.measure());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(result.error().message(),
              ::testing::HasSubstr("takes " + search::format_cost(problem.constraints[0], least)));
}

// A network without convolutions has one plan.
TEST(MeasuredSearch, WithoutLayersTheHeadIsFound) {
  search::Problem problem;
  problem.options = 2;
  problem.bias_gain = {0.0};
  problem.constraints.push_back(
      {.name = "memory", .limit = 20, .cost = search::AdditiveCost{10, {0}, {}}, .unit = "bytes"});
  const Measure nothing = [](const std::vector<Request>& requests) {
    return Result(std::vector<std::optional<double>>(requests.size(), 0.0));
  };
  const auto result = measured_search({problem}, nothing, {.measurements = 20});
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->plans[0].solution.candidate, search::empty_candidate(problem));
  EXPECT_EQ(result->plans[0].finalists.size(), 1U);
}

TEST(MeasuredSearch, GivesTheSameAnswerTwice) {
  const World world(3, 0.1);
  MeasuredSearchOptions options;
  options.measurements = 30;
  const auto run = [&] { return measured_search({world.problem()}, world.measure(), options); };
  const Result<MeasuredSearchResult> one = run();
  const Result<MeasuredSearchResult> two = run();
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->plans[0].solution, two->plans[0].solution);
  ASSERT_EQ(one->observations.size(), two->observations.size());
  for (std::size_t i = 0; i < one->observations.size(); ++i) {
    EXPECT_EQ(one->observations[i].candidate, two->observations[i].candidate);
    EXPECT_EQ(one->observations[i].gain, two->observations[i].gain);
  }
}

TEST(MeasuredSearch, SharesTrainingsBetweenBudgets) {
  const World world(5);
  search::Problem small = world.problem();
  small.constraints[0].limit = (small.constraints[0].limit + 25) / 2;
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem(), small}, world.measure(), {.measurements = 60});
  ASSERT_TRUE(result.ok()) << result.error().message();
  ASSERT_EQ(result->plans.size(), 2U);
  EXPECT_LE(search::cost(small.constraints[0], result->plans[1].solution.candidate),
            small.constraints[0].limit);
  EXPECT_GE(world.gain(result->plans[0].solution.candidate),
            world.gain(result->plans[1].solution.candidate) - 1e-9);
  EXPECT_GT(*result->after.rank, *result->before.rank);
}

// What draws and the best plan's neighbours lead to ends long before the plans do.
TEST(MeasuredSearch, MeasuresAsMuchAsItIsTold) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    const World world(seed, 0.0, 3);
    MeasuredSearchOptions options;
    options.measurements = 1000;
    options.seeds = {0};
    options.draws = 1;
    const Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    // Each plan once, for there are fewer.
    EXPECT_EQ(result->observations.size(), static_cast<std::size_t>(world.optimum().second));
  }
}

TEST(MeasuredSearch, NoMorePlansRaceThanThereAre) {
  const MeasuredSearchOptions options{.finalists = 6, .race_seeds = 5};
  EXPECT_EQ(race_trainings(options, 2), 2 * 5 * 6);
  EXPECT_EQ(race_trainings(options, 2, 1), 2 * 5 * 2);
  EXPECT_EQ(race_trainings(options, 2, 4), 2 * 5 * 5);
  EXPECT_EQ(race_trainings(options, 2, 40), 2 * 5 * 6);
}

TEST(MeasuredSearch, PlansThatDivergeAreAvoided) {
  const World world(4);
  const Measure truth = world.measure();
  const Measure half = [&](const std::vector<Request>& requests) {
    auto gains = truth(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].candidate.depth >= 5) (*gains)[i] = std::nullopt;
    }
    return gains;
  };
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem()}, half, {.measurements = 60});
  ASSERT_TRUE(result.ok());
  EXPECT_LT(result->plans[0].solution.candidate.depth, 5);
}

TEST(MeasuredSearch, WhereAllDivergeTheRaceSaysSo) {
  const World world(4);
  const Measure none =
      [](const std::vector<Request>& requests) -> Result<std::vector<std::optional<double>>> {
    return std::vector<std::optional<double>>(requests.size());
  };
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem()}, none, {.measurements = 20});
  ASSERT_TRUE(result.ok());
  for (const Finalist& f : result->plans[0].finalists) {
    EXPECT_EQ(f.diverged, static_cast<int>(f.gains.size()));
    EXPECT_EQ(f.mean(), 0);
  }
}

// It takes nobody's place while there is room.
TEST(MeasuredSearch, AnAdditiveOptimumThatDivergedRacesBesideWhatDidNot) {
  const World world(4);
  const Measure truth = world.measure();
  std::optional<Candidate> first;
  const Measure others = [&](const std::vector<Request>& requests) {
    auto gains = truth(requests);
    if (!first) first = requests.front().candidate;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].candidate == *first) (*gains)[i] = std::nullopt;
    }
    return gains;
  };
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem()}, others, {.measurements = 4});
  ASSERT_TRUE(result.ok());
  const MeasuredPlan& plan = result->plans[0];
  ASSERT_EQ(plan.additive.candidate, *first);
  ASSERT_EQ(result->observations.size(), 4U);
  for (const Observation& o : result->observations) {
    EXPECT_TRUE(std::any_of(plan.finalists.begin(), plan.finalists.end(),
                            [&](const Finalist& f) { return f.candidate == o.candidate; }));
  }
}

// A few trainings in a hundred end in ruin, whatever the plan: that must neither look like noise of
// all others nor be what the winner is chosen by.
TEST(MeasuredSearch, AFewThatDivergeSpoilNothing) {
  double lost = 0;
  int worlds = 0;
  int diverged = 0;
  for (std::uint64_t seed = 1; seed <= 60 && worlds < 8; ++seed) {
    const World world(seed, 0.02);
    const auto [best, count] = world.optimum();
    if (count < 400 || best < 0.5) continue;
    ++worlds;
    const Measure truth = world.measure();
    const Measure some = [&](const std::vector<Request>& requests) {
      auto gains = truth(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        Rng rng{seed, requests[i].seed, i, static_cast<std::uint64_t>(requests[i].candidate.depth)};
        if (requests[i].stage == Stage::kSearch && rng.chance(0.03)) (*gains)[i] = std::nullopt;
      }
      return gains;
    };
    MeasuredSearchOptions options;
    options.measurements = 80;
    options.seed = seed;
    const Result<MeasuredSearchResult> result = measured_search({world.problem()}, some, options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    diverged += result->diverged;
    lost += 1 - world.gain(result->plans[0].solution.candidate) / best;
  }
  EXPECT_EQ(worlds, 8);
  EXPECT_GT(diverged, 8);
  EXPECT_LT(lost / worlds, 0.02);
}

// A world where 0.2 is best, 0.4 better still but for every third seed, 0.3 now better and now
// worse, and 0.05 far behind.
class Rates : public ::testing::Test {
 protected:
  MeasuredSearchResult search(std::vector<double> rates, std::optional<double> usual = {}) {
    const World world(3, 0.02);
    const Measure plans = world.measure();
    const Measure measure = [&, plans](const std::vector<Request>& requests) {
      auto gains = plans(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Request& r = requests[i];
        all_.push_back(r);
        if (r.stage != Stage::kRates) continue;
        const bool early = r.seed < 1'000'006;  // of the first two
        const bool even = r.seed % 2 == 0;
        *(*gains)[i] += r.rate == 0.4   ? (even ? 0.5 : 0.51)
                        : r.rate == 0.6 ? (early ? (even ? 0.284 : 0.28) : 0.6)
                        : r.rate == 0.3 ? (even ? 0.2 : 0.42)
                        : r.rate == 0.2 ? 0.3
                        : r.rate == 0.1 ? 0.29
                                        : (even ? -3 : -3.1);
        if (r.rate >= 0.8 || (r.rate == 0.4 && r.seed % 3 == 0)) (*gains)[i] = std::nullopt;
      }
      return gains;
    };
    MeasuredSearchOptions options;
    options.measurements = 20;
    options.race_seeds = 4;
    options.rates = std::move(rates);
    options.usual_rate = usual;
    options.rates_of_finalists = of_finalists_;
    MeasuredSearchResult result = *measured_search({world.problem()}, measure, options);
    EXPECT_LE(result.measurements - 20, race_trainings(options, 1));
    return result;
  }
  [[nodiscard]] long asked(double rate) const {
    return std::count_if(all_.begin(), all_.end(), [&](const Request& r) {
      return r.stage == Stage::kRates && r.rate == rate;
    });
  }

  std::vector<Request> all_;
  bool of_finalists_ = false;
};

TEST_F(Rates, TheWinnerGetsTheBestThatNeverDiverges) {
  const MeasuredPlan plan = search({0.05, 0.1, 0.2, 0.4}).plans[0];
  EXPECT_EQ(plan.rate, 0.2);
  ASSERT_EQ(plan.rates.size(), 4U);
  EXPECT_EQ(plan.rates[0].rate, 0.2);
  EXPECT_EQ(plan.rates[0].gains.size(), 4U);
  EXPECT_EQ(plan.rates[1].rate, 0.1);
  EXPECT_EQ(plan.rates[3].rate, 0.4);
  EXPECT_TRUE(plan.rates[3].diverged);
  EXPECT_EQ(asked(0.2), 4);
  EXPECT_EQ(asked(0.05), 2);  // behind after the second seed
  EXPECT_EQ(asked(0.4), 2);   // the second is the one it diverges with
  std::set<std::uint64_t> before;
  for (const Request& r : all_) {
    if (r.stage != Stage::kRates) before.insert(r.seed);
  }
  for (const Request& r : all_) {
    if (r.stage != Stage::kRates) continue;
    EXPECT_EQ(r.candidate, plan.solution.candidate);
    EXPECT_EQ(before.count(r.seed), 0U);
  }
}

TEST_F(Rates, TheUsualOneStaysUnlessAnotherIsSurelyAhead) {
  EXPECT_EQ(search({0.1, 0.3}).plans[0].rate, 0.3);
  const MeasuredPlan plan = search({0.1, 0.3}, 0.1).plans[0];
  EXPECT_EQ(plan.rate, 0.1);
  EXPECT_EQ(plan.rates[0].rate, 0.1);
  EXPECT_LT(plan.rates[0].mean(), plan.rates[1].mean());
  EXPECT_EQ(search({0.1, 0.2}, 0.1).plans[0].rate, 0.2);
  EXPECT_EQ(search({0.2, 0.3}, 0.1).plans[0].rate, 0.3);
  EXPECT_EQ(search({0.4, 0.2}, 0.4).plans[0].rate, 0.2);
}

// Two seeds that happen to agree do not send away what the others show to be better.
TEST_F(Rates, AFewPairsThatAgreeAreNoProof) {
  const MeasuredPlan plan = search({0.1, 0.6}).plans[0];
  EXPECT_EQ(asked(0.6), 4);
  EXPECT_EQ(plan.rate, 0.6);
}

TEST_F(Rates, WithoutOneThatHoldsThatOfTheSearchStays) {
  const MeasuredPlan plan = search({0.8, 1.6}).plans[0];
  EXPECT_EQ(plan.rate, std::nullopt);
  EXPECT_EQ(plan.rates.size(), 2U);
  EXPECT_FALSE(plan.lost());  // the race before has its gain
}

TEST_F(Rates, ThePlanIsThatOfTheSearchWithoutThem) {
  const MeasuredSearchResult with = search({0.1, 0.2});
  const MeasuredSearchResult without = search({});
  EXPECT_EQ(with.plans[0].solution.candidate, without.plans[0].solution.candidate);
  EXPECT_EQ(with.plans[0].solution.objective, without.plans[0].solution.objective);
  EXPECT_TRUE(without.plans[0].rates.empty());
  EXPECT_GT(with.measurements, without.measurements);
}

TEST_F(Rates, AllFinalistsMayRaceAtThem) {
  of_finalists_ = true;
  const MeasuredPlan plan = search({0.05, 0.1, 0.2, 0.4}).plans[0];
  EXPECT_EQ(plan.rate, 0.2);
  ASSERT_EQ(plan.rates.size(), 4U);
  EXPECT_EQ(plan.rates[0].rate, 0.2);
  EXPECT_EQ(plan.rates[0].gains, plan.finalists[0].gains);
  EXPECT_EQ(plan.rates[0].gains.size(), 4U);
  EXPECT_EQ(plan.solution.candidate, plan.finalists[0].candidate);
  EXPECT_EQ(plan.solution.objective, plan.rates[0].mean());
  for (const RateTried& tried : plan.rates) EXPECT_EQ(tried.diverged, tried.rate == 0.4);
  std::set<std::vector<std::uint8_t>> plans;
  for (const Finalist& f : plan.finalists) {
    EXPECT_TRUE(f.rate == 0.2 || f.rate == 0.1);
    plans.insert(f.candidate.choice);
  }
  EXPECT_EQ(plans.size(), plan.finalists.size());
  EXPECT_EQ(plan.finalists.size(), 6U);
  for (const Request& r : all_) {
    EXPECT_EQ(r.stage == Stage::kSearch, r.seed < 1'000'000);
    EXPECT_NE(r.stage, Stage::kRace);
    EXPECT_LT(r.seed, 1'000'004);
  }
  EXPECT_LE(asked(0.4), 6 * 3);  // the third seed is one it diverges with
}

// The plans at 0.2 are surely behind those at 0.4, which then run away with the third seed.
TEST_F(Rates, WhatIsBehindOneThatRunsAwayComesBack) {
  for (const bool of_finalists : {false, true}) {
    of_finalists_ = of_finalists;
    const MeasuredPlan plan = search({0.05, 0.2, 0.4}).plans[0];
    EXPECT_EQ(plan.rate, 0.2);
    EXPECT_EQ(plan.rates.front().gains.size(), 4U);
    EXPECT_EQ(plan.rates.back().rate, 0.4);
    std::set<std::uint64_t> seeds;
    for (const Request& r : all_) {
      if (r.stage == Stage::kRates && r.rate == 0.2 && r.candidate == plan.solution.candidate) {
        EXPECT_EQ(seeds.insert(r.seed).second, true);
      }
    }
    EXPECT_EQ(seeds.size(), 4U);
    all_.clear();
  }
}

TEST_F(Rates, OfAllFinalistsTheUsualStaysUnlessAnotherIsSurelyAhead) {
  of_finalists_ = true;
  EXPECT_EQ(search({0.1, 0.3}).plans[0].rate, 0.3);
  const MeasuredPlan plan = search({0.1, 0.3}, 0.1).plans[0];
  EXPECT_EQ(plan.rate, 0.1);
  EXPECT_LT(plan.rates[0].mean(), plan.rates[1].mean());
  EXPECT_EQ(search({0.1, 0.2}, 0.1).plans[0].rate, 0.2);
}

TEST_F(Rates, WithoutOneThatHoldsAllFinalistsRanAway) {
  of_finalists_ = true;
  const MeasuredPlan plan = search({0.8, 1.6}).plans[0];
  EXPECT_EQ(plan.rate, std::nullopt);
  ASSERT_EQ(plan.rates.size(), 2U);
  EXPECT_TRUE(plan.rates[0].diverged);
  EXPECT_EQ(plan.finalists.size(), 6U);
  EXPECT_EQ(plan.finalists[0].diverged, 1);
  EXPECT_TRUE(plan.lost());
}

// Gains are counts of images, so that the first two differences may be equal by luck: nobody has to
// leave for that.
TEST(MeasuredSearch, TwoEqualDifferencesAreNotSurelyBehind) {
  const World world(3, 0.02);
  const Measure plans = world.measure();
  std::optional<Candidate> lucky;
  const Measure measure = [&](const std::vector<Request>& requests) {
    auto gains = plans(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].stage != Stage::kRace) continue;
      if (!lucky) lucky = requests[i].candidate;
      const bool early = requests[i].seed < MeasuredSearchOptions{}.first_race_seed + 2;
      (*gains)[i] = requests[i].candidate == lucky ? (early ? 0.35 : 0.1) : 0.3;
    }
    return gains;
  };
  MeasuredSearchOptions options;
  options.measurements = 30;
  options.race_seeds = 4;
  const MeasuredPlan plan = measured_search({world.problem()}, measure, options)->plans[0];
  EXPECT_NE(plan.solution.candidate, lucky);
  ASSERT_GE(plan.finalists.size(), 2U);
  for (const Finalist& f : plan.finalists) EXPECT_EQ(f.gains.size(), 4U);
  options.race_seeds = 2;
  const MeasuredPlan brief = measured_search({world.problem()}, measure, options)->plans[0];
  EXPECT_EQ(brief.solution.candidate, lucky);
  EXPECT_EQ(brief.over_runner_up, 0.75);
}

// What wins at the usual rate bears no other; the rest gain more at a higher one than it is ahead.
TEST(MeasuredSearch, APlanThatBearsAHighRateNeedNotWinAtTheUsualOne) {
  const World world(3, 0.02);
  const Measure plans = world.measure();
  std::optional<Candidate> weak;
  const Measure measure = [&](const std::vector<Request>& requests) {
    auto gains = plans(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].stage != Stage::kRates || requests[i].rate != 0.2) continue;
      (*gains)[i] =
          requests[i].candidate == weak ? std::nullopt : std::optional<double>(*(*gains)[i] + 3.0);
    }
    return gains;
  };
  MeasuredSearchOptions options;
  options.measurements = 30;
  options.rates = {0.1, 0.2};
  options.usual_rate = 0.1;
  weak = measured_search({world.problem()}, measure, options)->plans[0].solution.candidate;
  const MeasuredPlan stuck = measured_search({world.problem()}, measure, options)->plans[0];
  EXPECT_EQ(stuck.solution.candidate, weak);
  EXPECT_EQ(stuck.rate, 0.1);
  options.rates_of_finalists = true;
  const MeasuredPlan free = measured_search({world.problem()}, measure, options)->plans[0];
  EXPECT_NE(free.solution.candidate, weak);
  EXPECT_EQ(free.rate, 0.2);
  const auto additive =
      std::find_if(free.finalists.begin(), free.finalists.end(),
                   [&](const Finalist& f) { return f.candidate == free.additive.candidate; });
  ASSERT_NE(additive, free.finalists.end());
  const auto at_usual = std::find_if(free.finalists.begin(), free.finalists.end(),
                                     [&](const Finalist& f) { return f.candidate == weak; });
  ASSERT_NE(at_usual, free.finalists.end());
  EXPECT_EQ(at_usual->rate, 0.1);
}

// The usual rate stands unless another is likely ahead, but not in front of the additive optimum.
TEST(MeasuredSearch, NoPlanAtTheUsualRatePassesTheAdditiveOptimum) {
  const World world(3, 0.02);
  const Measure plans = world.measure();
  std::optional<Candidate> bears_more;
  double ahead = 0;
  const Measure measure = [&](const std::vector<Request>& requests) {
    auto gains = plans(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].stage != Stage::kRates) continue;
      const bool more = requests[i].candidate == bears_more;
      // Of each plan its own, so that a little more is no likely lead.
      double plan = requests[i].candidate.depth;
      for (const std::uint8_t choice : requests[i].candidate.choice) plan = 3 * plan + choice;
      const double luck = 0.1 * std::sin(plan + 2.0 * static_cast<double>(requests[i].seed % 100));
      (*gains)[i] = (requests[i].rate == 0.2) == more ? 0.3 + luck + (more ? ahead : 0.0) : 0.0;
    }
    return gains;
  };
  MeasuredSearchOptions options;
  options.measurements = 30;
  options.rates = {0.1, 0.2};
  options.usual_rate = 0.1;
  options.rates_of_finalists = true;
  const auto search = [&] {
    return measured_search({world.problem()}, measure, options)->plans[0];
  };
  const MeasuredPlan first = search();
  const auto of_additive = [](const MeasuredPlan& plan) {
    return *std::find_if(plan.finalists.begin(), plan.finalists.end(),
                         [&](const Finalist& f) { return f.candidate == plan.additive.candidate; });
  };
  const Candidate additive = first.additive.candidate;
  const Candidate other = first.solution.candidate == additive ? first.finalists[1].candidate
                                                               : first.solution.candidate;
  int usual_stands = 0;
  for (ahead = 0; ahead < 0.08; ahead += 0.01) {
    bears_more = additive;
    const MeasuredPlan plan = search();
    if (plan.solution.candidate != additive) {
      EXPECT_GT(plan.finalists.front().mean(), of_additive(plan).mean()) << ahead;
    }
    // What another plan gains by the higher rate is given up for the usual one where it may be
    // luck.
    bears_more = other;
    const MeasuredPlan free = search();
    usual_stands += free.rate == 0.1 && free.finalists[1].mean() > free.finalists[0].mean();
  }
  EXPECT_GT(usual_stands, 0);
}

// A rate that only plans within a tighter limit bear decides between limits, when it is surely
// ahead.
class Limits : public ::testing::Test {
 protected:
  Limits() { tight_.constraints[0].limit = loose_.constraints[0].limit / 2; }

  // Plans of the tight limit gain `more` (by seed) than the other limit's at 0.2, where those of
  // the other do not learn; at 0.1 all gain the same.
  MeasuredSearchResult search(const std::function<double(std::uint64_t)>& more,
                              std::vector<double> rates, bool tight_first) {
    const Measure plans = world_.measure();
    const Measure measure = [&, plans](const std::vector<Request>& requests) {
      auto gains = plans(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Request& r = requests[i];
        if (r.stage != Stage::kRates) continue;
        (*gains)[i] = r.rate == 0.1                              ? 1
                      : search::is_feasible(tight_, r.candidate) ? 1 + more(r.seed)
                                                                 : std::optional<double>();
      }
      return gains;
    };
    MeasuredSearchOptions options;
    options.measurements = 30;
    options.race_seeds = 4;
    options.rates = std::move(rates);
    return *measured_search(tight_first ? std::vector{tight_, loose_} : std::vector{loose_, tight_},
                            measure, options);
  }

  World world_{3, 0.02};
  search::Problem loose_ = world_.problem();
  search::Problem tight_ = loose_;
};

TEST_F(Limits, WhatWonUnderATighterOneAtItsRateMayWinUnderALooserOne) {
  for (const bool tight_first : {true, false}) {
    const MeasuredSearchResult result = search(
        [](std::uint64_t seed) { return seed % 2 == 0 ? 0.3 : 0.2; }, {0.1, 0.2}, tight_first);
    const MeasuredPlan& tight = result.plans[tight_first ? 0 : 1];
    const MeasuredPlan& loose = result.plans[tight_first ? 1 : 0];
    EXPECT_EQ(tight.rate, 0.2);
    EXPECT_EQ(loose.rate, 0.2);
    EXPECT_EQ(loose.solution.candidate, tight.solution.candidate);
    EXPECT_EQ(loose.finalists[0].candidate, loose.solution.candidate);
    EXPECT_FALSE(search::is_feasible(tight_, loose.finalists[1].candidate));  // its own winner
    EXPECT_EQ(loose.rates[0].gains, tight.rates[0].gains);
    EXPECT_GT(loose.over_runner_up, 0.99);
    EXPECT_EQ(
        std::count_if(loose.finalists.begin(), loose.finalists.end(),
                      [&](const Finalist& f) { return f.candidate == loose.additive.candidate; }),
        1);
  }
}

TEST_F(Limits, OneThatIsNotSurelyAheadDoesNot) {
  // By 0.05 +- 0.55 and, likely at 90 %, by 0.3 +- 0.19.
  for (const auto& [even, odd] : {std::pair{1.0, -0.9}, {0.625, -0.025}}) {
    for (const bool tight_first : {true, false}) {
      const MeasuredSearchResult result = search(
          [&](std::uint64_t seed) { return seed % 2 == 0 ? even : odd; }, {0.1, 0.2}, tight_first);
      EXPECT_EQ(result.plans[tight_first ? 0 : 1].rate, 0.2);
      const MeasuredPlan& loose = result.plans[tight_first ? 1 : 0];
      EXPECT_EQ(loose.rate, 0.1);
      EXPECT_FALSE(search::is_feasible(tight_, loose.solution.candidate));
      EXPECT_EQ(loose.finalists[0].candidate, loose.solution.candidate);
    }
  }
}

TEST_F(Limits, WithoutRatesTheRacesBetweenPlansDecide) {
  const auto none = [](std::uint64_t) { return 0.0; };
  const MeasuredSearchResult result = search(none, {}, true);
  EXPECT_FALSE(search::is_feasible(tight_, result.plans[1].solution.candidate));
  EXPECT_GT(result.plans[1].finalists[0].mean(), result.plans[0].finalists[0].mean());
  // Learning at no rate loses against learning at one.
  const MeasuredSearchResult other = search(none, {0.2}, true);
  EXPECT_EQ(other.plans[1].solution.candidate, other.plans[0].solution.candidate);
  EXPECT_EQ(other.plans[1].rate, 0.2);
  EXPECT_EQ(other.plans[1].over_runner_up, 1.0);
}

// The best of the plans that were known races, however little the model thinks of it.
TEST(MeasuredSearch, AKnownPlanRaces) {
  const World world(3, 0.02);
  const search::Problem problem = world.problem();
  MeasuredSearchOptions options;
  options.measurements = 20;
  options.finalists = 2;
  const Candidate poor{1, std::vector<std::uint8_t>(static_cast<std::size_t>(problem.layers), 0)};
  const auto races = [&] {
    const auto result = measured_search({problem}, world.measure(), options);
    const auto& racing = result->plans[0].finalists;
    EXPECT_LE(result->measurements - 20, race_trainings(options, 1));
    return std::any_of(racing.begin(), racing.end(),
                       [&](const Finalist& f) { return f.candidate == poor; });
  };
  EXPECT_FALSE(races());
  options.known = {poor};
  EXPECT_TRUE(races());
}

TEST(MeasuredSearch, BadOptionsAreNamed) {
  const World world(1);
  const auto error = [&](MeasuredSearchOptions options) {
    const auto result = measured_search({world.problem()}, world.measure(), options);
    return result.ok() ? std::string() : result.error().message();
  };
  EXPECT_THAT(error({.measurements = 0}), ::testing::HasSubstr("at least one measurement"));
  EXPECT_THAT(error({.seeds = {1, 1}}), ::testing::HasSubstr("distinct"));
  EXPECT_THAT(error({.finalists = 1}), ::testing::HasSubstr("two finalists"));
  EXPECT_THAT(error({.additive = {Candidate{}, Candidate{}}}),
              ::testing::HasSubstr("as many additive optima as problems"));
  EXPECT_THAT(error({.seeds = {2'000'000}}), ::testing::HasSubstr("those of the race begin"));
  EXPECT_THAT(error({.rates = {0.1, 0.1}}), ::testing::HasSubstr("rates must be distinct"));
  EXPECT_THAT(error({.rates = {0.1, 0}}), ::testing::HasSubstr("and above 0"));
}

// Trainings of all budgets with one seed are asked for at once, so that no thread waits for one.
TEST(MeasuredSearch, BudgetsRaceSideBySide) {
  const World world(5, 0.1);
  std::vector<search::Problem> problems(3, world.problem());
  problems[1].constraints[0].limit = (problems[0].constraints[0].limit + 25) / 2;
  problems[2].constraints[0].limit = (problems[0].constraints[0].limit + 75) / 4;
  const Measure plans = world.measure();
  std::map<Stage, int> calls;
  std::size_t widest = 0;
  const Measure measure = [&](const std::vector<Request>& requests) {
    ++calls[requests.front().stage];
    if (requests.front().stage == Stage::kRace) widest = std::max(widest, requests.size());
    return plans(requests);
  };
  MeasuredSearchOptions options;
  options.measurements = 40;
  options.race_seeds = 4;
  options.rates = {0.1, 0.2};
  const auto together = measured_search(problems, measure, options);
  ASSERT_TRUE(together.ok()) << together.error().message();
  ASSERT_EQ(together->plans.size(), 3U);
  EXPECT_LE(calls[Stage::kRace], options.race_seeds);
  EXPECT_LE(calls[Stage::kRates], options.race_seeds);
  EXPECT_GT(widest, static_cast<std::size_t>(options.finalists));
}

TEST(MeasuredSearch, WhatGoesWrongInARaceComesOut) {
  const World world(5, 0.1);
  const std::vector<search::Problem> problems(3, world.problem());
  const Measure plans = world.measure();
  for (const Stage stage : {Stage::kRace, Stage::kRates}) {
    MeasuredSearchOptions options;
    options.measurements = 20;
    options.rates = {0.1, 0.2};
    const Measure failing = [&](const std::vector<Request>& requests) {
      if (requests.front().stage != stage) return plans(requests);
      return decltype(plans(requests))(Error{ErrorKind::kInterrupted, "interrupted"});
    };
    const auto failed = measured_search(problems, failing, options);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().kind, ErrorKind::kInterrupted);
    const Measure throwing = [&](const std::vector<Request>& requests) {
      if (requests.front().stage == stage) throw std::runtime_error("no memory");
      return plans(requests);
    };
    EXPECT_THROW(static_cast<void>(measured_search(problems, throwing, options)),
                 std::runtime_error);
  }
}

TEST(MeasuredSearch, ErrorsOfATrainingAreHandedOn) {
  const World world(1);
  const Measure failing =
      [](const std::vector<Request>&) -> Result<std::vector<std::optional<double>>> {
    return Error{ErrorKind::kInterrupted, "interrupted"};
  };
  const auto result = measured_search({world.problem()}, failing);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kInterrupted);
}

}  // namespace
}  // namespace espalier::study
