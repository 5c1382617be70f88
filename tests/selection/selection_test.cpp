#include "espalier/selection/selection.hpp"

#include <gtest/gtest.h>

#include "espalier/codegen/cycle_model.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/support/rng.hpp"
#include "testing/random_graph.hpp"

namespace espalier::selection {
namespace {

// Plausible gains for every update of small_network; conv 1 at full ratio diverged and depth 6 was
// not measured.
contribution::Profile random_profile(const ir::Graph& graph, std::uint64_t seed) {
  Rng rng{seed, 5};
  contribution::Profile p;
  p.model = graph.name;
  p.model_sha256 = graph.sha256;
  p.seeds = {0};
  p.ratios = {0.25, 0.5, 1.0};
  const int convs = 7;
  p.trials.push_back({{0, -1, 0, 0}, 0.5, 1.5});
  for (int conv = 0; conv < convs; ++conv) {
    const int depth = convs - conv;
    if (depth == 6) continue;
    p.trials.push_back({{depth, -1, 0, 0}, 0.5 + 0.01 * depth, 1.5 - 0.02 * depth});
    for (const double ratio : p.ratios) {
      const double gain = ratio * rng.uniform(-0.01, 0.08);
      p.trials.push_back({{depth, conv, ratio, 0},
                          0.5 + 0.01 * depth + gain,
                          1.4 - gain,
                          conv == 2 && ratio == 1.0});
    }
  }
  contribution::summarise(p, convs);
  return p;
}

TEST(Selection, PlansFitTheirBudgetAndReachTheOptimum) {
  const ir::Graph graph = espalier::testing::small_network(1);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const contribution::Profile profile = random_profile(graph, seed);
    for (const std::int64_t budget : {60, 400, 1500, 4000, 100000}) {
      const Result<Selected> found =
          select(graph, profile, Bytes{budget}, {.metric = Metric::kAccuracy});
      ASSERT_TRUE(found.ok()) << found.error().message();
      EXPECT_TRUE(plan::validate(found->plan, graph).ok());
      EXPECT_LE(cost::analytic_memory(found->plan, graph).total_bits, budget * 8);
      EXPECT_EQ(found->memory, cost::analytic_memory(found->plan, graph).bytes());
      ASSERT_TRUE(found->optimum.has_value());
      EXPECT_NEAR(found->objective, *found->optimum, 1e-12);
      // The objective is the sum of the profile's gains.
      double sum =
          found->plan.bias_depth == 0
              ? 0.0
              : profile.bias[static_cast<std::size_t>(found->plan.bias_depth)].accuracy->mean;
      for (const plan::WeightUpdate& w : found->plan.weights) {
        const auto r = std::find(profile.ratios.begin(), profile.ratios.end(), w.ratio);
        sum += profile
                   .weight[static_cast<std::size_t>(w.conv)]
                          [static_cast<std::size_t>(r - profile.ratios.begin())]
                   .accuracy->mean;
        EXPECT_FALSE(w.conv == 2 && w.ratio == 1.0) << "diverged updates cannot be chosen";
      }
      EXPECT_NEAR(found->objective, sum, 1e-12);
      EXPECT_NE(found->plan.bias_depth, 6) << "depths that were not measured cannot be chosen";
    }
  }
}

TEST(Selection, BoundsTheStep) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 3);
  const std::int64_t least = cost::training_macs(plan::head_only(graph), graph).total();
  SelectionOptions options;
  options.max_step_macs = least + 20000;
  const Result<Selected> found = select(graph, profile, Bytes{100000}, options);
  ASSERT_TRUE(found.ok());
  EXPECT_LE(found->step_macs, least + 20000);
  EXPECT_EQ(found->step_macs, cost::training_macs(found->plan, graph).total());
  const Result<Selected> free = select(graph, profile, Bytes{100000}, {});
  EXPECT_GT(free->step_macs, least + 20000);
}

// Of every kernel and window: an invented model.
codegen::CycleModel invented_cycles() {
  codegen::CycleModel model;
  model.target = "invented";
#define ESPALIER_KERNEL(name, parameters) model.forms[#name] = {1, 2, 0.5, 2, 1, 3, 4, 100};
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
  return model;
}

std::int64_t cycles_of(const ir::Graph& graph, const plan::UpdatePlan& plan) {
  compiler::CompileOptions compile;
  compile.passes = *compiler::without(compiler::kAllPasses, "stream");
  return *codegen::step_cycles(invented_cycles(), *compiler::training_graph(graph, plan, compile));
}

TEST(Selection, BoundsTheCyclesOfAStep) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 3);
  SelectionOptions options;
  const Result<Selected> free = select(graph, profile, Bytes{100000}, options);
  ASSERT_TRUE(free.ok());
  EXPECT_FALSE(free->step_cycles.has_value());
  const std::int64_t least = cycles_of(graph, plan::head_only(graph));
  const std::int64_t most = cycles_of(graph, free->plan);
  ASSERT_GT(most, least);
  options.cycles = invented_cycles();
  double before = -1;
  for (const int share : {0, 25, 50, 75, 100}) {
    options.max_step_cycles = least + (most - least) * share / 100;
    for (const MemoryModel memory : {MemoryModel::kAnalytic, MemoryModel::kPlanned}) {
      options.memory = memory;
      const Result<Selected> found = select(graph, profile, Bytes{100000}, options);
      ASSERT_TRUE(found.ok()) << found.error().message();
      ASSERT_TRUE(found->step_cycles.has_value());
      EXPECT_LE(*found->step_cycles, *options.max_step_cycles);
      EXPECT_EQ(*found->step_cycles, cycles_of(graph, found->plan));
      EXPECT_FALSE(found->optimum.has_value());
      ASSERT_TRUE(found->bound.has_value());
      EXPECT_LE(found->objective, *found->bound + 1e-12);
      if (memory == MemoryModel::kPlanned) continue;
      EXPECT_GE(found->objective, before - 1e-12);
      before = found->objective;
    }
  }
  EXPECT_NEAR(before, free->objective, 1e-12);
}

TEST(Selection, RefusesBoundsOnCyclesItCannotKeep) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 3);
  SelectionOptions options;
  options.cycles = invented_cycles();
  options.max_step_cycles = cycles_of(graph, plan::head_only(graph)) - 1;
  const auto refused = [&](ErrorKind kind, const char* says) {
    const Result<Selected> found = select(graph, profile, Bytes{100000}, options);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().kind, kind);
    EXPECT_NE(found.error().message().find(says), std::string::npos) << found.error().message();
  };
  refused(ErrorKind::kInfeasible, "cycles per training step on invented");
  options.solver = SolverKind::kExact;
  refused(ErrorKind::kUsage, "cycles are none");
  options.solver = SolverKind::kEvolution;
  options.cycles->forms.erase("esp_pointwise_forward");
  refused(ErrorKind::kUsage, "esp_pointwise_forward was never measured");
  options.cycles.reset();
  refused(ErrorKind::kUsage, "needs a target");
}

TEST(Selection, BudgetBelowTheHeadIsInfeasible) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const Result<Selected> found = select(graph, random_profile(graph, 1), Bytes{10}, {});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::kInfeasible);
}

// Nothing runs row by row where the classifier reads the whole input.
TEST(Selection, SaysWhyNoPlanHasAMemory) {
  espalier::testing::GraphBuilder builder(1, {8, 8, 3});
  const ir::Graph graph = builder.finish(builder.input(), 4);
  contribution::Profile profile;
  profile.ratios = {1.0};
  profile.trials.push_back({{0, -1, 0, 0}, 0.5, 1.5});
  contribution::summarise(profile, 0);
  SelectionOptions options;
  options.memory = MemoryModel::kPlanned;
  EXPECT_TRUE(select(graph, profile, Bytes{100000}, options).ok());
  options.fed = true;
  const Result<Selected> found = select(graph, profile, Bytes{100000}, options);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::kUsage);
  EXPECT_NE(found.error().message().find("cannot come by rows"), std::string::npos)
      << found.error().message();
}

TEST(Selection, FrontNeverFalls) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const auto front = select_front(graph, random_profile(graph, 2),
                                  {Bytes{5000}, Bytes{10}, Bytes{500}, Bytes{1000}}, {});
  ASSERT_TRUE(front.ok());
  ASSERT_EQ(front->size(), 3U);
  for (std::size_t i = 1; i < front->size(); ++i) {
    EXPECT_GE((*front)[i].objective, (*front)[i - 1].objective);
    EXPECT_GT((*front)[i].budget, (*front)[i - 1].budget);
  }
}

TEST(Selection, ChannelsThatTakeTurnsCountInPlannedMemory) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 4);
  SelectionOptions options;
  options.memory = MemoryModel::kPlanned;
  options.rotate = true;
  const auto planned = [&](const plan::UpdatePlan& plan) {
    return compiler::planned_memory(graph, plan, 1)->total().count;
  };
  const std::int64_t head = planned(plan::head_only(graph));
  int rotating = 0;
  for (std::int64_t more = 0; more <= 6000; more += 250) {
    const Result<Selected> found = select(graph, profile, Bytes{head + more}, options);
    ASSERT_TRUE(found.ok()) << found.error().message();
    EXPECT_EQ(found->memory.count, planned(found->plan));
    EXPECT_LE(found->memory.count, head + more);
    ASSERT_TRUE(found->bound.has_value());
    EXPECT_LE(found->objective, *found->bound + 1e-12) << more;
    for (const plan::WeightUpdate& update : found->plan.weights) {
      EXPECT_EQ(update.next_channels.empty(), update.ratio == 1.0);
    }
    if (plan::rotates(found->plan)) ++rotating;
  }
  EXPECT_GT(rotating, 0);
}

// Integers have smaller gradients and a state that is larger by their ranges, so either takes most.
TEST(Selection, BudgetsHoldForEachKindOfGradients) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 4);
  for (const int accumulate : {1, 4}) {
    SelectionOptions options;
    options.memory = MemoryModel::kPlanned;
    options.accumulate = accumulate;
    options.gradients = {compiler::Element::kFloat32, compiler::Element::kInt8};
    const auto planned = [&](const plan::UpdatePlan& plan, compiler::Element gradient) {
      return compiler::planned_memory(graph, plan, accumulate, gradient)->total();
    };
    const Bytes floats = planned(plan::head_only(graph), compiler::Element::kFloat32);
    const Bytes integers = planned(plan::head_only(graph), compiler::Element::kInt8);
    ASSERT_GT(integers, floats);
    EXPECT_EQ(*least_memory(graph, options), integers);
    const Result<Selected> none = select(graph, profile, floats, options);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().kind, ErrorKind::kInfeasible);
    bool of_floats = false;
    for (std::int64_t more = 0; more <= 64000; more = 2 * more + 500) {
      const Bytes budget{integers.count + more};
      const Result<Selected> found = select(graph, profile, budget, options);
      ASSERT_TRUE(found.ok()) << found.error().message();
      const Bytes of_float = planned(found->plan, compiler::Element::kFloat32);
      const Bytes of_integer = planned(found->plan, compiler::Element::kInt8);
      EXPECT_EQ(found->memory, std::max(of_float, of_integer));
      EXPECT_EQ(found->planned, found->memory);
      EXPECT_LE(found->memory, budget);
      of_floats = of_floats || of_float > of_integer;
      ASSERT_TRUE(found->bound.has_value());
      EXPECT_LE(found->objective, *found->bound + 1e-12) << more;
    }
    EXPECT_TRUE(of_floats);
  }
}

TEST(Selection, ExactSolverAgrees) {
  const ir::Graph graph = espalier::testing::small_network(1);
  SelectionOptions exact;
  exact.solver = SolverKind::kExact;
  const contribution::Profile profile = random_profile(graph, 4);
  const auto a = select(graph, profile, Bytes{2000}, exact);
  const auto b = select(graph, profile, Bytes{2000}, {.solver = SolverKind::kEvolution});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NEAR(a->objective, b->objective, 1e-12);
  EXPECT_EQ(a->plan.solver, "exact");
  EXPECT_EQ(b->plan.solver, "evolution");
  // It begins at the optimum that it cannot exceed: no more than the first population is costed.
  EXPECT_LT(b->evaluations, 5000);
}

TEST(Selection, AutoIsExactWhereCostsAreAdditive) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const contribution::Profile profile = random_profile(graph, 3);
  for (const std::int64_t budget : {400, 4000}) {
    const Result<Selected> found =
        select(graph, profile, Bytes{budget}, {.solver = SolverKind::kAuto});
    ASSERT_TRUE(found.ok()) << found.error().message();
    EXPECT_EQ(found->solver, SolverKind::kExact);
    EXPECT_EQ(found->plan.solver, "exact");
    EXPECT_EQ(found->objective, *found->optimum);
  }
  const Result<Selected> planned =
      select(graph, profile, Bytes{100000},
             {.memory = MemoryModel::kPlanned, .solver = SolverKind::kAuto});
  ASSERT_TRUE(planned.ok()) << planned.error().message();
  EXPECT_EQ(planned->solver, SolverKind::kEvolution);
  EXPECT_EQ(planned->plan.solver, "evolution");
  // With room for everything the relaxed optimum, where the evolution begins, is feasible.
  EXPECT_NEAR(planned->objective, *planned->bound, 1e-12);
  EXPECT_EQ(select(graph, profile, Bytes{1}, {.solver = SolverKind::kAuto}).error().kind,
            ErrorKind::kInfeasible);
}

}  // namespace
}  // namespace espalier::selection
