#include "espalier/study/plan_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/compiler/compile.hpp"
#include "espalier/contribution/analysis.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/plan/plan_json.hpp"
#include "support/temp_folder.hpp"
#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace espalier::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PlanSearch : public ::testing::Test {
 protected:
  PlanSearch() {
    contribution::AnalysisOptions analysis;
    analysis.recipe = recipe_;
    analysis.ratios = {0.5, 1};
    profile_ = *contribution::analyze(network_, sets_.training, sets_.validation, analysis);
    options_.search.measurements = 14;
    options_.search.batch = 4;
    options_.search.draws = 6;
    options_.search.seeds = {0, 1};
    options_.search.finalists = 3;
    options_.search.race_seeds = 3;
    options_.trial.recipe = recipe_;
  }

  [[nodiscard]] Result<PlanSearchResult> search() const {
    return search_plans(network_, profile_, budgets_, sets_, options_);
  }

  [[nodiscard]] Json whole(const PlanSearchResult& result) const {
    Json json = to_json(result.search);
    for (std::size_t i = 0; i < result.plans.size(); ++i) {
      json["plans"].push_back(plan::to_json(result.plans[i].plan));
      json["races"].push_back(to_json(result.search.plans[i], profile_));
    }
    return json;
  }

  // The gain of a plan in the race, trained by hand.
  [[nodiscard]] double gain(const plan::UpdatePlan& plan, std::uint64_t seed) const {
    return gain(plan, seed, options_.trial.recipe, options_.trial.recipe.learning_rate, true);
  }
  [[nodiscard]] double gain(const plan::UpdatePlan& plan, std::uint64_t seed,
                            const train::Recipe& recipe, double rate, bool accuracy = false) const {
    trials::Trial trial = options_.trial;
    trial.recipe = recipe;
    trial.recipe.seed = seed;
    trials::Trial head = trial;
    head.plan = plan::head_only(network_.graph());
    trial.plan = plan;
    trial.recipe.learning_rate = rate;
    const auto results = *trials::run_trials(
        network_, sets_.race_training(seed - options_.search.first_race_seed),
        sets_.fold(seed - options_.search.first_race_seed).judges, {trial, head}, {});
    if (accuracy) return results[0]->test.accuracy - results[1]->test.accuracy;
    return results[1]->test.loss - results[0]->test.loss;
  }

  train::Network network_{testing::small_network(2)};
  trials::RaceSets sets_{testing::toy_samples(network_.graph(), 40, 1),
                         testing::toy_samples(network_.graph(), 24, 2),
                         {{std::nullopt, testing::toy_samples(network_.graph(), 24, 3)}}};
  train::Recipe recipe_{.epochs = 1, .batch = 8, .learning_rate = 0.5, .warmup_epochs = 0};
  contribution::Profile profile_;
  std::vector<Bytes> budgets_{Bytes{700}, Bytes{2500}};
  PlanSearchOptions options_;
};

TEST_F(PlanSearch, GainsAreThoseOfTrainings) {
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  ASSERT_EQ(found->plans.size(), budgets_.size());
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const plan::UpdatePlan& plan = found->plans[i].plan;
    EXPECT_LE(cost::analytic_memory(plan, network_.graph()).bytes(), budgets_[i]);
    const Finalist& winner = found->search.plans[i].finalists.front();
    double sum = 0;
    for (std::size_t k = 0; k < winner.gains.size(); ++k) {
      EXPECT_EQ(winner.gains[k], gain(plan, options_.search.first_race_seed + k));
      sum += winner.gains[k];
    }
    EXPECT_EQ(plan.solver, "measured");
    EXPECT_EQ(plan.measured["gain"], sum / static_cast<double>(winner.gains.size()));
    EXPECT_EQ(plan.measured["trainings"], winner.gains.size());
    // By its own validation the winner is never behind the additive optimum.
    for (const Finalist& f : found->search.plans[i].finalists) {
      if (f.candidate == found->search.plans[i].additive.candidate) {
        EXPECT_GE(winner.mean(), f.mean());
      }
    }
    const Result<plan::UpdatePlan> read =
        plan::from_json(plan::to_json(plan), network_.graph(), "plan");
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(*read, plan);
  }
}

TEST_F(PlanSearch, SeedsOfTheRacesTakeFoldsInTurn) {
  sets_.race.clear();
  for (const int k : {4, 6}) {
    sets_.race.push_back({testing::toy_samples(network_.graph(), 32, k),
                          testing::toy_samples(network_.graph(), 16, k + 1)});
  }
  options_.search.rates = {0.3, 0.6};
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const MeasuredPlan& measured = found->search.plans[i];
    const plan::UpdatePlan& plan = found->plans[i].plan;
    const Finalist& winner = measured.finalists.front();
    for (std::size_t k = 0; k < winner.gains.size(); ++k) {
      EXPECT_EQ(winner.gains[k], gain(plan, options_.search.first_race_seed + k));
    }
    for (const RateTried& tried : measured.rates) {
      for (std::size_t k = 0; k < tried.gains.size() && !tried.diverged; ++k) {
        const std::uint64_t seed = options_.search.first_race_seed + 3 + k;
        EXPECT_EQ(tried.gains[k], gain(plan, seed, options_.trial.recipe, tried.rate, true));
      }
    }
  }
}

TEST_F(PlanSearch, RatesAreThoseOfTheRecipeThePlanIsFor) {
  options_.race_recipe = {.epochs = 2, .batch = 4, .learning_rate = 0.3, .warmup_epochs = 1};
  const Result<PlanSearchResult> without = search();
  options_.search.rates = {0.02, 0.4, 1e30};
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const plan::UpdatePlan& plan = found->plans[i].plan;
    EXPECT_EQ(plan.weights, without->plans[i].plan.weights);
    EXPECT_EQ(plan.bias_depth, without->plans[i].plan.bias_depth);
    EXPECT_EQ(without->plans[i].plan.recipe, train::to_json(*options_.race_recipe));
    const MeasuredPlan& measured = found->search.plans[i];
    const Finalist& winner = measured.finalists.front();
    for (std::size_t k = 0; k < winner.gains.size(); ++k) {
      const std::uint64_t seed = options_.search.first_race_seed + k;
      EXPECT_EQ(winner.gains[k], gain(plan, seed, *options_.race_recipe, 0.3, true));
    }
    ASSERT_EQ(measured.rates.size(), 3U);
    EXPECT_TRUE(measured.rates.back().diverged);
    for (const RateTried& tried : measured.rates) {
      for (std::size_t k = 0; k < tried.gains.size() && !tried.diverged; ++k) {
        const std::uint64_t seed = options_.search.first_race_seed + 3 + k;
        EXPECT_EQ(tried.gains[k], gain(plan, seed, *options_.race_recipe, tried.rate, true));
      }
    }
    train::Recipe recipe = *options_.race_recipe;
    recipe.learning_rate = *measured.rate;
    EXPECT_EQ(plan.recipe, train::to_json(recipe));
    EXPECT_EQ(plan.measured["gain"], measured.rates.front().mean());
    EXPECT_EQ(plan.measured["metric"], "accuracy");
    EXPECT_EQ(plan.measured["trainings"], measured.rates.front().gains.size());
  }
}

TEST(RatesBetween, AreHalfOfWhatSweepsChoseInStepsOfTheRootOfTwo) {
  EXPECT_THAT(rates_between(0.4, 0.2, 0.1), ElementsAre(0.1, 0.14, 0.2));
  EXPECT_THAT(rates_between(0.1, 0.4, 0.1), ElementsAre(0.05, 0.071, 0.1, 0.14, 0.2));
  EXPECT_THAT(rates_between(0.2, 0.2, 0.5), ElementsAre(0.1, 0.5));
}

// As if they had been given, and those that train --lr auto would have tried.
TEST_F(PlanSearch, RatesMayComeFromSweeps) {
  options_.race_recipe = {.epochs = 4, .batch = 8, .learning_rate = 0.3, .warmup_epochs = 1};
  options_.automatic_rates = true;
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  ASSERT_EQ(found->rate_sweeps.size(), 2U);
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    trials::Trial trial = options_.trial;
    trial.recipe = *options_.race_recipe;
    trial.plan = selection::select(network_.graph(), profile_, budgets_[i], {})->plan;
    const Result<trials::RateSweep> sweep =
        trials::sweep_rates(network_, sets_.training, trial, {});
    ASSERT_TRUE(sweep.ok()) << sweep.error().message();
    EXPECT_EQ(trials::to_json(found->rate_sweeps[i]), trials::to_json(*sweep));
  }
  options_.automatic_rates = false;
  options_.search.rates =
      rates_between(found->rate_sweeps[0].best, found->rate_sweeps[1].best, 0.3);
  EXPECT_EQ(whole(*search()), whole(*found));
}

TEST_F(PlanSearch, DependsNeitherOnThreadsNorOnTheStore) {
  options_.search.rates = {0.1, 0.4};
  const Json expected = whole(*search());
  const testing::TempFolder folder;
  for (const int jobs : {1, 2, 3}) {
    const trials::Store store = *trials::Store::open(folder.path());
    options_.run.jobs = jobs;
    options_.run.store = &store;
    EXPECT_EQ(whole(*search()), expected) << jobs;
  }
}

TEST_F(PlanSearch, KnownPlansAreMeasuredWhereTheyCanBe) {
  plan::UpdatePlan known = *plan::bias_only(network_.graph(), 3);
  known.weights.push_back(plan::make_weight_update(network_.graph(), 5, 0.5));
  const auto candidate = candidate_of(network_.graph(), profile_, known);
  ASSERT_TRUE(candidate.has_value());
  const plan::UpdatePlan again = selection::make_plan(network_.graph(), profile_, *candidate);
  EXPECT_EQ(again.weights, known.weights);
  EXPECT_EQ(again.bias_depth, known.bias_depth);

  plan::UpdatePlan other = known;
  other.weights[0] = plan::make_weight_update(network_.graph(), 5, 0.25);
  EXPECT_FALSE(candidate_of(network_.graph(), profile_, other).has_value());

  options_.known = {{"known", known}, {"other", other}};
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  const auto& observed = found->search.observations;
  EXPECT_TRUE(std::any_of(observed.begin(), observed.end(),
                          [&](const Observation& o) { return o.candidate == *candidate; }));
}

TEST_F(PlanSearch, ALimitOfTimeEndsIt) {
  options_.search.measurements = 1'000'000;
  options_.seconds = 1e-3;
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_LT(found->search.measurements, 100);
}

// The time of a step beside its memory: the bound holds for all that is measured, whose trainings
// budgets share.
TEST_F(PlanSearch, MacsBoundIt) {
  const auto within = [&](std::optional<std::int64_t> macs) {
    options_.selection.max_step_macs = macs;
    Result<PlanSearchResult> found = search();
    EXPECT_TRUE(found.ok()) << found.error().message();
    return *found;
  };
  const std::int64_t free = within(std::nullopt).plans.back().step_macs;
  const std::int64_t head =
      cost::training_macs(plan::head_only(network_.graph()), network_.graph()).total();
  const std::int64_t bound = (free + head) / 2;
  const PlanSearchResult found = within(bound);
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    EXPECT_LE(found.plans[i].step_macs, bound);
    EXPECT_EQ(found.plans[i].step_macs,
              cost::training_macs(found.plans[i].plan, network_.graph()).total());
    EXPECT_LE(found.plans[i].analytic, budgets_[i]);
    for (const Finalist& f : found.search.plans[i].finalists) {
      const plan::UpdatePlan plan = selection::make_plan(network_.graph(), profile_, f.candidate);
      EXPECT_LE(cost::training_macs(plan, network_.graph()).total(), bound);
    }
  }
  for (const Observation& o : found.search.observations) {
    const plan::UpdatePlan plan = selection::make_plan(network_.graph(), profile_, o.candidate);
    EXPECT_LE(cost::training_macs(plan, network_.graph()).total(), bound);
  }
  options_.selection.max_step_macs = head - 1;
  const Result<PlanSearchResult> none = search();
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kInfeasible);
}

// What a chip has: all SRAM of the program, and cycles.
TEST_F(PlanSearch, PlannedMemoryAndCyclesBoundIt) {
  selection::SelectionOptions& bounds = options_.selection;
  bounds.memory = selection::MemoryModel::kPlanned;
  bounds.gradients = {compiler::Element::kInt8};
  bounds.cycles = *codegen::find_cycle_model("rv32imf+pm4adda.b");
  bounds.max_step_cycles = 1'000'000'000;
  const auto at = [&](Bytes budget) {
    return *selection::select(network_.graph(), profile_, budget, bounds);
  };
  // Between the head alone and the best plan there is.
  const selection::Selected most = at(Bytes{1 << 20});
  const Bytes least = compiler::planned_memory(network_.graph(), plan::head_only(network_.graph()),
                                               1, compiler::Element::kInt8, false)
                          ->total();
  budgets_ = {Bytes{(least.count + most.planned->count) / 2}, Bytes{most.planned->count - 8}};
  bounds.max_step_cycles = *most.step_cycles - 1000;
  options_.trial.numerics = trials::Numerics::kInteger;
  const Result<PlanSearchResult> found = search();
  ASSERT_TRUE(found.ok()) << found.error().message();
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const selection::Selected& selected = found->plans[i];
    const auto planned = compiler::planned_memory(network_.graph(), selected.plan, 1,
                                                  compiler::Element::kInt8, false);
    EXPECT_LE(planned->total(), budgets_[i]);
    EXPECT_EQ(selected.planned, planned->total());
    EXPECT_EQ(selected.memory, planned->total());
    EXPECT_LE(*selected.step_cycles, *bounds.max_step_cycles);
    EXPECT_FALSE(selected.optimum.has_value());
    ASSERT_TRUE(selected.bound.has_value());
    EXPECT_GE(*selected.bound, selected.objective);
    // The additive optimum is what the search finds that measures nothing.
    const selection::Selected unmeasured =
        (*selection::select_front(network_.graph(), profile_, budgets_, bounds))[i];
    const search::Solution& additive = found->search.plans[i].additive;
    EXPECT_EQ(additive.candidate,
              candidate_of(network_.graph(), profile_, unmeasured.plan).value());
    EXPECT_EQ(additive.objective, unmeasured.objective);
    EXPECT_EQ(additive.costs[0], unmeasured.planned->count);
    EXPECT_EQ(additive.costs[1], *unmeasured.step_cycles);
  }
  const Json expected = whole(*found);
  options_.run.jobs = options_.search.jobs = bounds.evolution.jobs = 3;
  EXPECT_EQ(whole(*search()), expected);

  budgets_ = {Bytes{least.count - 1}, budgets_[1]};
  const Result<PlanSearchResult> none = search();
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(none.error().message(),
              HasSubstr("training the head alone takes " + format_bytes(least)));
  bounds.cycles.reset();
  EXPECT_EQ(search().error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace espalier::study
