#include "espalier/contribution/analysis.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include "espalier/kernels/simd.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/support/statistics.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/trials/trial.hpp"
#include "testing/kernel_choice.hpp"
#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace espalier::contribution {
namespace {

using espalier::testing::KernelChoice;
using espalier::testing::small_network;
using espalier::testing::toy_samples;

class Analysis : public ::testing::Test {
 protected:
  Analysis() : network_(small_network(2)) {
    options_.recipe = {.epochs = 1, .batch = 16, .learning_rate = 0.5, .warmup_epochs = 0};
    options_.ratios = {0.125, 0.5, 1.0};
    options_.seeds = {3, 4};
    folder_ = std::filesystem::temp_directory_path() /
              ("espalier_analysis_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  ~Analysis() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] Result<Profile> run() const {
    return analyze(network_, toy_samples(network_.graph(), 40, 1),
                   toy_samples(network_.graph(), 24, 2), options_);
  }

  // Where a store keeps one trial of run().
  [[nodiscard]] trials::Address address_of(const TrialSpec& spec) const {
    trials::Trial trial;
    trial.plan = trial_plan(network_.graph(), spec);
    trial.recipe = options_.recipe;
    trial.recipe.seed = spec.seed;
    return trials::address_of(trials::inputs_json(network_.graph(), trial,
                                                  toy_samples(network_.graph(), 40, 1),
                                                  toy_samples(network_.graph(), 24, 2)));
  }

  train::Network network_;
  AnalysisOptions options_;
  std::filesystem::path folder_;
};

TEST_F(Analysis, ListsEveryUpdateOnce) {
  const std::vector<TrialSpec> trials = list_trials(network_.graph(), options_);
  // 7 convs: stem with 3 input channels (1/8 keeps none, 1/2 one, 1 three), the others all ratios.
  EXPECT_EQ(trials.size(), 2U * (1 + 7 + 2 + 6 * 3));
  for (std::size_t i = 0; i < trials.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_FALSE(trials[i] == trials[j]);
  }
  AnalysisOptions some = options_;
  some.layers = {4, 6};
  EXPECT_EQ(list_trials(network_.graph(), some).size(), 2U * (1 + 2 + 6));
}

TEST_F(Analysis, TrialPlansAreWhatTheDesignSays) {
  const plan::UpdatePlan plan = trial_plan(network_.graph(), {3, 4, 0.5, 0});
  EXPECT_EQ(plan.bias_depth, 3);
  ASSERT_EQ(plan.weights.size(), 1U);
  EXPECT_EQ(plan.weights[0].conv, 4);
  EXPECT_EQ(plan.weights[0].channels.size(), 4U);
  EXPECT_TRUE(plan::validate(plan, network_.graph()).ok());
}

TEST_F(Analysis, TrialsHaveTheNumericsOfTheOptions) {
  AnalysisOptions options;
  options.numerics = trials::Numerics::kDevice;
  EXPECT_TRUE(trial_of(network_.graph(), {.seed = 3}, options).stochastic);
  options.stochastic = false;
  const trials::Trial trial = trial_of(network_.graph(), {.seed = 3}, options);
  EXPECT_FALSE(trial.stochastic);
  EXPECT_EQ(trial.numerics, trials::Numerics::kDevice);
  EXPECT_EQ(trial.recipe.seed, 3U);
}

TEST_F(Analysis, MeasuresWhatSingleTrainingsMeasure) {
  options_.layers = {4};
  options_.seeds = {3};
  options_.ratios = {0.5};
  const Result<Profile> profile = run();
  ASSERT_TRUE(profile.ok()) << profile.error().message();
  ASSERT_EQ(profile->trials.size(), 3U);
  // Each trial again, alone, from uncached inputs.
  const auto training =
      *train::SampleStore::from_samples(network_, toy_samples(network_.graph(), 40, 1), 1);
  const auto validation =
      *train::SampleStore::from_samples(network_, toy_samples(network_.graph(), 24, 2), 1);
  for (const Trial& trial : profile->trials) {
    train::Session session(network_, trial_plan(network_.graph(), trial.spec),
                           train::fresh_head(network_.graph().head.features, 4, 3), 0);
    train::Recipe recipe = options_.recipe;
    recipe.seed = 3;
    const auto alone = train::train(session, *training, *validation, recipe, {});
    ASSERT_TRUE(alone.ok());
    EXPECT_EQ(trial.loss, alone->test.loss);
    EXPECT_EQ(trial.accuracy, alone->test.accuracy);
  }
}

TEST_F(Analysis, SameBytesForAnyJobsAndCacheLimit) {
  const Result<Profile> one = run();
  ASSERT_TRUE(one.ok());
  options_.jobs = 4;
  const Result<Profile> four = run();
  ASSERT_TRUE(four.ok());
  EXPECT_EQ(to_json(*one).dump(), to_json(*four).dump());
  options_.cache_limit = Bytes{0};
  const Result<Profile> uncached = run();
  ASSERT_TRUE(uncached.ok());
  EXPECT_EQ(to_json(*one).dump(), to_json(*uncached).dump());
}

TEST_F(Analysis, SameBytesForAnyInstructionSet) {
  options_.fisher = true;
  options_.seeds = {3};
  options_.layers = {0, 1, 2, 6};  // portable kernels take their time
  const kernels::KernelTables all = kernels::all_kernels();
  std::string first;
  for (int i = 0; i < all.count; ++i) {
    const KernelChoice choice(*all.tables[i]);
    // What a network packs may depend on the instruction set.
    const train::Network network(network_.graph());
    const Result<Profile> profile = analyze(network, toy_samples(network.graph(), 40, 1),
                                            toy_samples(network.graph(), 24, 2), options_);
    ASSERT_TRUE(profile.ok());
    if (i == 0) first = to_json(*profile).dump();
    EXPECT_EQ(to_json(*profile).dump(), first) << all.tables[i]->name;
  }
}

// Widened by seeds, ratios and layers, an analysis measures only what is new.
TEST_F(Analysis, TakesFromItsStoreWhatItHolds) {
  const Result<Profile> whole = run();
  ASSERT_TRUE(whole.ok());
  const trials::Store store = *trials::Store::open(folder_);
  const AnalysisOptions all = options_;
  options_.store = &store;
  options_.layers = {4};
  options_.seeds = {3};
  options_.ratios = {0.5};
  ASSERT_TRUE(run().ok());
  const auto records = [&] {
    return std::distance(std::filesystem::directory_iterator(folder_), {}) - 1;  // and the lock
  };
  EXPECT_EQ(records(), 3);
  // A result that was never measured shows that it is believed when it proves itself.
  const trials::Address address = address_of({3, 4, 0.5, 3});
  auto marked = **store.find(address);
  marked.test.accuracy = 0.123;
  ASSERT_TRUE(store.put(address, marked).ok());
  options_.layers = all.layers;
  options_.seeds = all.seeds;
  options_.ratios = all.ratios;
  const Result<Profile> wide = run();
  ASSERT_TRUE(wide.ok()) << wide.error().message();
  EXPECT_EQ(records(), static_cast<std::ptrdiff_t>(whole->trials.size()));
  for (std::size_t i = 0; i < whole->trials.size(); ++i) {
    const bool is_marked = whole->trials[i].spec == TrialSpec{3, 4, 0.5, 3};
    EXPECT_EQ(wide->trials[i].accuracy, is_marked ? 0.123 : whole->trials[i].accuracy);
    EXPECT_EQ(wide->trials[i].loss, whole->trials[i].loss);
  }
  // Another recipe is another analysis: nothing is taken, nothing is lost.
  options_.recipe.learning_rate = 0.25;
  options_.layers = {4};
  ASSERT_TRUE(run().ok());
  EXPECT_GT(records(), static_cast<std::ptrdiff_t>(whole->trials.size()));
}

TEST_F(Analysis, RecordsDivergenceInsteadOfNumbers) {
  options_.recipe.learning_rate = 1e9;
  const Result<Profile> profile = run();
  ASSERT_TRUE(profile.ok());
  const Gain& all = profile->weight[0].back();
  EXPECT_EQ(all.seeds, 2);
  EXPECT_GT(all.diverged, 0);
  EXPECT_FALSE(all.accuracy.has_value());
}

// Weights that ran away may end in one class for every sample, with a loss that is finite again.
TEST_F(Analysis, RecordsACollapseAsDivergence) {
  const trials::Store store = *trials::Store::open(folder_);
  options_.store = &store;
  options_.layers = {4};
  options_.seeds = {3};
  options_.ratios = {0.5};
  const Result<Profile> measured = run();
  ASSERT_TRUE(measured.ok());
  for (const Trial& trial : measured->trials) {
    const trials::Address address = address_of(trial.spec);
    auto result = **store.find(address);
    train::Confusion& confusion = result.test.confusion;
    const std::int64_t samples = confusion.samples();
    confusion = train::Confusion(confusion.classes);
    for (std::int64_t i = 0; i < samples; ++i) {
      const int label = static_cast<int>(i % confusion.classes);
      confusion.add(label, trial.spec.conv >= 0 ? 0 : label);
    }
    ASSERT_TRUE(store.put(address, result).ok());
  }
  const Result<Profile> profile = run();
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->weight[4].back().diverged, 1);
  EXPECT_FALSE(profile->weight[4].back().loss.has_value());
  EXPECT_EQ(profile->bias[3].diverged, 0);
}

// Every beginning of the work makes a profile: depths before weights, known gains before the rest.
TEST_F(Analysis, MeasuresWhatIsWorthMostFirst) {
  Profile none;
  none.seeds = options_.seeds;
  none.ratios = options_.ratios;
  summarise(none, 7);
  const std::vector<TrialSpec> order = by_worth(network_.graph(), options_, none);
  const std::vector<TrialSpec> all = list_trials(network_.graph(), options_);
  ASSERT_EQ(order.size(), all.size());
  EXPECT_TRUE(std::is_permutation(order.begin(), order.end(), all.begin()));
  EXPECT_EQ(order[0], (TrialSpec{0, -1, 0, 3}));
  EXPECT_EQ(order[1], (TrialSpec{4, -1, 0, 3}));
  // Weights come after the biases they are measured against, seeds one after the other.
  for (auto at = order.begin(); at != order.end(); ++at) {
    if (at->depth == 0) continue;
    const auto before = [&](const TrialSpec& spec) {
      return std::find(order.begin(), at, spec) != at;
    };
    EXPECT_TRUE(before({0, -1, 0, at->seed}));
    if (at->conv >= 0) {
      EXPECT_TRUE(before({at->depth, -1, 0, at->seed}));
    }
    EXPECT_TRUE(at->seed == 3 ||
                std::count_if(order.begin(), at, [](const TrialSpec& s) { return s.seed == 3; }) *
                        2 ==
                    static_cast<std::ptrdiff_t>(all.size()));
  }
  // All channels and the middle ratio (0.125 is as far from a quarter, and comes first) before 0.5.
  const auto place = [&](const TrialSpec& spec) {
    return std::find(order.begin(), order.end(), spec) - order.begin();
  };
  EXPECT_LT(place({6, 1, 1.0, 3}), place({1, 6, 0.5, 3}));
  // Of the others those of the conv that gained most.
  Profile some = none;
  for (const TrialSpec& spec : all) {
    if (spec.seed != 3 || spec.ratio == 0.5) continue;
    some.trials.push_back({spec, 0.5, spec.conv == 2 ? 0.5 : 1.0, false});
  }
  summarise(some, 7);
  EXPECT_EQ(by_worth(network_.graph(), options_, some).front(), (TrialSpec{5, 2, 0.5, 3}));
}

// Profiles made up for by_worth().
class Order : public ::testing::Test {
 protected:
  Order() : graph_(with_a_dear_stem()) {
    options_.ratios = {0.25, 0.5, 1.0};
    options_.layers = {0, 2, 3, 4};
    options_.seeds = {3};
  }

  // The first conv's map takes so much that none of the budgets holds its weights; the last three
  // are alike. In bits, the head is 128, a bias depth of 1 to 4 1,536 each, of 5 another 33,792, a
  // quarter of the channels 2,560; everything but conv 1's weights is 102,272. Budgets are 295,
  // 680, 1,569, 3,618, 8,342, 19,236 and 44,354.
  static ir::Graph with_a_dear_stem() {
    espalier::testing::GraphBuilder b(5, {32, 32, 3});
    ir::TensorId x = b.conv(b.input(), 32, espalier::testing::window(3, 1, 1));
    x = b.conv(x, 16, espalier::testing::window(4, 4, 0));
    for (int i = 0; i < 3; ++i) x = b.conv(x, 16, espalier::testing::window(1, 1, 0));
    return b.finish(b.global_pool(x), 4);
  }

  // Biases gain nothing; the stem's weights gain most by far.
  static double gain_of(const TrialSpec& spec) {
    const auto between = [&](double quarter, double whole) {
      return quarter + (whole - quarter) * (spec.ratio - 0.25) / 0.75;
    };
    switch (spec.conv) {
      case 0:
        return 0.9 * spec.ratio;
      case 2:
        return between(0.02, 0.03);
      case 3:
        return between(0.05, 0.20);
      case 4:
        return between(0.10, 0.12);
      default:
        return 0;
    }
  }

  void summarise_again() { summarise(profile_, static_cast<int>(ir::conv_ops(graph_).size())); }

  void begin() {
    profile_ = {};
    profile_.seeds = options_.seeds;
    profile_.ratios = options_.ratios;
    summarise_again();
  }

  // Of the first seed: the head, all depths, all channels and a quarter of them.
  void measure_the_settled() {
    begin();
    for (const TrialSpec& spec : list_trials(graph_, options_)) {
      const bool other = spec.conv >= 0 && spec.ratio != 0.25 && spec.ratio != 1.0;
      if (spec.seed == options_.seeds.front() && !other) add(spec);
    }
    summarise_again();
  }

  void add(const TrialSpec& spec) {
    profile_.trials.push_back({spec, 0.5, 2 - gain_of(spec), false});
  }

  [[nodiscard]] std::vector<TrialSpec> order() const {
    return by_worth(graph_, options_, profile_);
  }

  ir::Graph graph_;
  AnalysisOptions options_;
  Profile profile_;
};

// Under 8,342 bits the best plan has a quarter of convs 3 and 4, under 19,236 all of 3 and half of
// 4, which nobody measured, under 44,354 all of 2, 3 and 4.
TEST_F(Order, GoesWhereTheOptimaAre) {
  measure_the_settled();
  const std::vector<TrialSpec> expected{
      {1, 4, 0.5, 3},  // chosen
      {2, 3, 0.5, 3},  // beside what all three plans choose
      {3, 2, 0.5, 3},  // beside what one chooses
      {5, 0, 0.5, 3},  // of the conv that gains most, which is in no plan
  };
  EXPECT_EQ(order(), expected);
}

TEST_F(Order, MeasuresTheOptimaAgainWithFurtherSeeds) {
  options_.seeds = {3, 4};
  measure_the_settled();
  for (const TrialSpec& spec : list_trials(graph_, options_)) {
    if (spec.seed == 3 && spec.ratio == 0.5) add(spec);
  }
  summarise_again();
  const std::vector<TrialSpec> expected{
      // The head, and the biases as deep as two plans, as one, and as conv 4's weights need them.
      {0, -1, 0, 4},
      {2, -1, 0, 4},
      {3, -1, 0, 4},
      {1, -1, 0, 4},
      // Weights in two plans, then those in one.
      {2, 3, 1.0, 4},
      {1, 4, 0.25, 4},
      {1, 4, 0.5, 4},
      {1, 4, 1.0, 4},
      {2, 3, 0.25, 4},
      {3, 2, 1.0, 4},
      // Beside them: the next depth that is measured, and ratios.
      {5, -1, 0, 4},
      {2, 3, 0.5, 4},
      {3, 2, 0.5, 4},
      // What would cost the plan for 19,236 bits least: a quarter of conv 2 for half of conv 3.
      {3, 2, 0.25, 4},
      // Everything else.
      {5, 0, 0.5, 4},
      {5, 0, 1.0, 4},
  };
  EXPECT_EQ(order(), expected);
}

// Gains that are all alike leave every choice to a tie.
TEST_F(Order, BreaksTiesTheSameWay) {
  options_.seeds = {3, 4};
  begin();
  for (const TrialSpec& spec : list_trials(graph_, options_)) {
    const double loss = spec.conv < 0 ? 1 : 0.5;
    if (spec.seed == 3 && spec.ratio != 0.5) profile_.trials.push_back({spec, 0.5, loss, false});
  }
  summarise_again();
  const std::vector<TrialSpec> first = order();
  EXPECT_EQ(order(), first);
  std::reverse(profile_.trials.begin(), profile_.trials.end());
  summarise_again();
  EXPECT_EQ(order(), first);
}

// An update that diverged has no gain, and is not tried again before others; what lies between it
// and a smaller ratio may still be as good as that.
TEST_F(Order, LeavesOutWhatDiverged) {
  options_.seeds = {3, 4};
  measure_the_settled();
  for (Trial& trial : profile_.trials) {
    if (trial.spec.conv == 4 || trial.spec == TrialSpec{2, 3, 1.0, 3}) trial.diverged = true;
  }
  summarise_again();
  const std::vector<TrialSpec> left = order();
  const auto place = [&](const TrialSpec& spec) {
    return std::find(left.begin(), left.end(), spec) - left.begin();
  };
  EXPECT_LT(place({2, 3, 0.5, 3}), place({5, 0, 0.5, 3}));   // beside a quarter
  EXPECT_LT(place({2, 3, 0.25, 4}), place({5, 0, 0.5, 3}));  // in plans
  EXPECT_GT(place({2, 3, 1.0, 4}), place({5, 0, 0.5, 3}));
  EXPECT_GT(place({1, 4, 0.5, 3}), place({5, 0, 0.5, 3}));
  EXPECT_GT(place({1, 4, 1.0, 4}), place({5, 0, 0.5, 3}));
  // Where everything did, the order is that of the list, seed by seed.
  for (Trial& trial : profile_.trials) trial.diverged = trial.spec.depth > 0;
  summarise_again();
  EXPECT_EQ(order()[0], (TrialSpec{1, 4, 0.5, 3}));
  EXPECT_EQ(order()[3], (TrialSpec{5, 0, 0.5, 3}));
  EXPECT_EQ(order()[4], (TrialSpec{0, -1, 0, 4}));
}

// A ratio that trains as many channels as a smaller one is none of the trials, and no way to gain
// more for the same memory.
TEST_F(Order, KnowsOnlyRatiosThatAreListed) {
  options_.ratios = {0.25, 0.26, 0.3, 1.0};  // 4 channels three times
  begin();
  for (const TrialSpec& spec : list_trials(graph_, options_)) add(spec);
  summarise_again();
  EXPECT_EQ(order(), std::vector<TrialSpec>{});
  options_.seeds = {3, 4};
  // Plans: a quarter of convs 3 and 4; all of 3 and a quarter of 4; all of 2, 3 and 4.
  const std::vector<TrialSpec> expected{
      {0, -1, 0, 4},   {2, -1, 0, 4},  {3, -1, 0, 4},   {1, -1, 0, 4},
      {1, 4, 0.25, 4}, {2, 3, 1.0, 4}, {1, 4, 1.0, 4},  {2, 3, 0.25, 4},
      {3, 2, 1.0, 4},  {5, -1, 0, 4},  {3, 2, 0.25, 4}, {5, 0, 1.0, 4},
  };
  EXPECT_EQ(order(), expected);
}

TEST_F(Order, OneRatioIsEnough) {
  options_.ratios = {1.0};
  options_.seeds = {3, 4};
  begin();
  for (const TrialSpec& spec : list_trials(graph_, options_)) {
    if (spec.seed == 3) add(spec);
  }
  summarise_again();
  const std::vector<TrialSpec> left = order();
  EXPECT_EQ(left.front(), (TrialSpec{0, -1, 0, 4}));
  EXPECT_EQ(left.back(), (TrialSpec{5, 0, 1.0, 4}));
}

// More ratios than the solver takes: the conv that gained most comes first, as dear as it is.
TEST_F(Order, WithoutOptimaThoseThatGainedMostComeFirst) {
  options_.ratios.clear();
  for (int i = 1; i <= 300; ++i) options_.ratios.push_back(i / 300.0);
  measure_the_settled();
  ASSERT_FALSE(profile_.weight[4].back().loss == std::nullopt);
  EXPECT_EQ(order().front().conv, 0);
}

// However far the work gets and whatever it shows, nothing lacks what it is measured against.
TEST_F(Order, EveryBeginningIsAProfile) {
  options_.seeds = {3, 4, 5};
  std::vector<TrialSpec> all = list_trials(graph_, options_);
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Rng rng{seed, 0x6F72646572};
    begin();
    while (profile_.trials.size() < all.size()) {
      std::vector<TrialSpec> batch = order();
      ASSERT_EQ(batch.size(), all.size() - profile_.trials.size());
      batch.resize(std::min(batch.size(), std::size_t{1} + rng.below(9)));
      for (const TrialSpec& spec : batch) {
        const auto known = [&](const TrialSpec& other) {
          return std::any_of(profile_.trials.begin(), profile_.trials.end(),
                             [&](const Trial& trial) { return trial.spec == other; });
        };
        if (spec.depth > 0) {
          EXPECT_TRUE(known({0, -1, 0, spec.seed}));
        }
        if (spec.conv >= 0) {
          EXPECT_TRUE(known({spec.depth, -1, 0, spec.seed}));
        }
        const bool diverged = spec.depth > 0 && rng.chance(0.1);
        profile_.trials.push_back({spec, 0.5, rng.uniform(0.5, 1.5), diverged});
      }
      summarise_again();
    }
    EXPECT_EQ(profile_.trials.front().spec, (TrialSpec{0, -1, 0, 3}));
    for (const TrialSpec& spec : all) {
      EXPECT_EQ(std::count_if(profile_.trials.begin(), profile_.trials.end(),
                              [&](const Trial& trial) { return trial.spec == spec; }),
                1);
    }
  }
}

TEST_F(Analysis, StopsInTimeAndGoesOn) {
  const Result<Profile> whole = run();
  const trials::Store store = *trials::Store::open(folder_);
  options_.store = &store;
  options_.seconds = 1e-9;
  const Result<Profile> least = run();
  ASSERT_TRUE(least.ok()) << least.error().message();
  EXPECT_EQ(least->trials.size(), 1U);  // the head, without which nothing can be said
  EXPECT_EQ(least->seeds, std::vector<std::uint64_t>{3});
  EXPECT_FALSE(least->weight[4].back().loss.has_value());
  options_.seconds = 1e6;
  const Result<Profile> rest = run();
  ASSERT_TRUE(rest.ok()) << rest.error().message();
  EXPECT_EQ(to_json(*rest).dump(), to_json(*whole).dump());
}

TEST_F(Analysis, WhatTheStoreHoldsIsNoMeasureOfSpeed) {
  const trials::Store store = *trials::Store::open(folder_);
  options_.store = &store;
  options_.seconds = 1e-9;
  ASSERT_TRUE(run().ok());
  // Its first batch comes from the store at once; the next ones still have to fit what is left.
  options_.recipe.epochs = 1;
  options_.seconds = 1e-3;
  const Result<Profile> again = run();
  ASSERT_TRUE(again.ok());
  EXPECT_LT(again->trials.size(), list_trials(network_.graph(), options_).size() / 2);
}

TEST_F(Analysis, LosesNothingOfWhatTheStoreHolds) {
  const trials::Store store = *trials::Store::open(folder_);
  options_.store = &store;
  const Result<Profile> whole = run();
  ASSERT_TRUE(whole.ok());
  // As after a run that knew something else by then: of the second seed the head and what no order
  // begins with.
  for (const TrialSpec& spec : list_trials(network_.graph(), options_)) {
    const bool kept = spec.seed == 3 ? spec.depth == 0 : spec.depth == 0 || spec.ratio == 0.5;
    if (!kept) std::filesystem::remove(store.record(address_of(spec)));
  }
  options_.seconds = 1e-9;
  const Result<Profile> rest = run();
  ASSERT_TRUE(rest.ok()) << rest.error().message();
  EXPECT_EQ(rest->seeds, options_.seeds);
  std::size_t expected = 0;
  for (const Trial& trial : whole->trials) {
    const TrialSpec& spec = trial.spec;
    if (spec.depth > 0 && (spec.seed == 3 || spec.ratio != 0.5)) continue;
    ++expected;
    EXPECT_TRUE(std::any_of(rest->trials.begin(), rest->trials.end(), [&](const Trial& other) {
      return other.spec == spec;
    })) << spec.depth;
  }
  EXPECT_EQ(rest->trials.size(), expected);
}

// Trials run in the order of their prefixes, which has the head last.
TEST_F(Analysis, MeasuresHeadsThatTheStoreLacks) {
  const trials::Store store = *trials::Store::open(folder_);
  options_.store = &store;
  const Result<Profile> whole = run();
  ASSERT_TRUE(whole.ok());
  for (const TrialSpec& spec : list_trials(network_.graph(), options_)) {
    const bool kept = spec.seed == 3 && spec.depth > 2;
    if (!kept) std::filesystem::remove(store.record(address_of(spec)));
  }
  options_.seconds = 1e-9;
  const Result<Profile> rest = run();
  ASSERT_TRUE(rest.ok()) << rest.error().message();
  EXPECT_EQ(rest->seeds, std::vector<std::uint64_t>{3});
  std::vector<Trial> expected;
  std::copy_if(whole->trials.begin(), whole->trials.end(), std::back_inserter(expected),
               [](const Trial& trial) {
                 return trial.spec.seed == 3 && (trial.spec.depth == 0 || trial.spec.depth > 2);
               });
  ASSERT_EQ(rest->trials.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(rest->trials[i].spec, expected[i].spec);
    EXPECT_EQ(rest->trials[i].loss, expected[i].loss);
  }
}

TEST_F(Analysis, AShareIsWhatTellsMost) {
  const Result<Profile> whole = run();
  ASSERT_TRUE(whole.ok());
  for (const double share : {0.05, 0.4, 0.7, 0.99}) {
    options_.share = share;
    options_.jobs = 1;
    const Result<Profile> part = run();
    ASSERT_TRUE(part.ok()) << part.error().message();
    options_.jobs = 3;
    EXPECT_EQ(to_json(*run()).dump(), to_json(*part).dump());
    EXPECT_EQ(
        part->trials.size(),
        static_cast<std::size_t>(std::ceil(share * static_cast<double>(whole->trials.size()))));
    // Trials are what they are in the whole, in the same order.
    auto at = whole->trials.begin();
    for (const Trial& trial : part->trials) {
      at = std::find_if(at, whole->trials.end(),
                        [&](const Trial& other) { return other.spec == trial.spec; });
      ASSERT_NE(at, whole->trials.end());
      EXPECT_EQ(at->loss, trial.loss);
    }
    // No weights before the depths.
    std::size_t depths = 0;
    std::size_t of_ratios = 0;
    for (const Trial& trial : part->trials) {
      (trial.spec.conv < 0 ? depths : of_ratios) += trial.spec.seed == options_.seeds.front();
    }
    if (of_ratios > 0) {
      EXPECT_EQ(depths, 8U);  // the head and seven convs
    }
  }
  options_.seconds = 1;
  EXPECT_EQ(run().error().kind, ErrorKind::kUsage);
  options_.seconds.reset();
  for (const double share : {0.0, -1.0, 1.5, std::nan("")}) {
    options_.share = share;
    EXPECT_EQ(run().error().kind, ErrorKind::kUsage);
  }
}

TEST_F(Analysis, RefusesNonsense) {
  const auto kind = [&] { return run().error().kind; };
  options_.layers = {7};
  EXPECT_EQ(kind(), ErrorKind::kUsage);
  options_.layers.clear();
  options_.ratios = {0.5, 0.25};
  EXPECT_EQ(kind(), ErrorKind::kUsage);
  options_.ratios = {1.5};
  EXPECT_EQ(kind(), ErrorKind::kUsage);
  options_.ratios = {0.001, 1.0};  // a channel of no layer
  EXPECT_NE(run().error().message().find("trains no input channel"), std::string::npos);
  options_.ratios = {1.0};
  options_.seeds = {1, 1};
  EXPECT_EQ(kind(), ErrorKind::kUsage);
}

TEST_F(Analysis, ReportsFisherScoresWhenAsked) {
  const Result<Profile> without = run();
  ASSERT_TRUE(without.ok());
  EXPECT_FALSE(to_json(*without).contains("fisher"));
  options_.fisher = true;
  options_.jobs = 3;
  const Result<Profile> with = run();
  ASSERT_TRUE(with.ok());
  Json document = to_json(*with);
  EXPECT_EQ(document["fisher"]["samples"], 40);
  std::vector<double> scores;
  std::vector<double> gains;
  for (const Json& row : document["weight"]) {
    scores.push_back(row["fisher"]);
    gains.push_back(row["loss_gain"]["mean"]);
  }
  EXPECT_EQ(document["fisher"]["rank_correlation"]["weight"]["loss"],
            *rank_correlation(scores, gains));
  const Result<FisherScores> early =
      early_scores(network_, toy_samples(network_.graph(), 40, 1), options_);
  ASSERT_TRUE(early.ok());
  for (Json& row : document["weight"]) {
    const auto ratio = std::find(options_.ratios.begin(), options_.ratios.end(), row["ratio"]);
    EXPECT_EQ(row["fisher"], early->weight[row["conv"].get<std::size_t>()][static_cast<std::size_t>(
                                 ratio - options_.ratios.begin())]);
    row.erase("fisher");
  }
  for (Json& row : document["bias"]) {
    EXPECT_EQ(row["fisher"], early->bias[row["depth"].get<std::size_t>()]);
    row.erase("fisher");
  }
  document.erase("fisher");
  EXPECT_EQ(document.dump(), to_json(*without).dump());
}

TEST_F(Analysis, EstimatesGrowWithTheWork) {
  const AnalysisEstimate small = estimate_cost(network_, 100, 50, options_);
  options_.recipe.epochs = 4;
  const AnalysisEstimate large = estimate_cost(network_, 100, 50, options_);
  EXPECT_EQ(small.trials, large.trials);
  EXPECT_GT(large.macs, 3 * small.macs);
  EXPECT_GT(small.seconds, 0);
  options_.share = 0.4;
  const AnalysisEstimate part = estimate_cost(network_, 100, 50, options_);
  EXPECT_EQ(part.trials, std::ceil(0.4 * static_cast<double>(small.trials)));
  EXPECT_LT(part.macs, large.macs);
}

}  // namespace
}  // namespace espalier::contribution
