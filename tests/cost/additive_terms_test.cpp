#include "espalier/cost/additive_terms.hpp"

#include <gtest/gtest.h>

#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/support/rng.hpp"
#include "plan/chain_graph.hpp"
#include "plan/published_networks.hpp"

namespace espalier::cost {
namespace {

constexpr double kRatios[] = {0.125, 0.25, 0.5, 1.0};

// A random plan and the terms that its costs must add up to.
void compare_random_plan(const ir::Graph& graph, Rng& rng) {
  const AdditiveTerms memory = analytic_terms(graph, kRatios);
  const AdditiveTerms macs = mac_terms(graph, kRatios);
  const auto available = available_ratios(graph, kRatios);
  const std::size_t convs = available.size();
  const std::size_t depth = rng.below(convs + 1);
  plan::UpdatePlan update = plan::bias_only(graph, static_cast<int>(depth)).value();
  std::int64_t bits = memory.base + memory.by_depth[depth];
  std::int64_t multiplications = macs.base + macs.by_depth[depth];
  for (std::size_t conv = convs - depth; conv < convs; ++conv) {
    const std::size_t option = rng.below(5);
    if (option == 0 || !available[conv][option]) continue;
    update.weights.push_back(
        plan::make_weight_update(graph, static_cast<int>(conv), kRatios[option - 1]));
    bits += memory.by_ratio[conv][option];
    multiplications += macs.by_ratio[conv][option];
  }
  ASSERT_TRUE(plan::validate(update, graph).ok());
  EXPECT_EQ(analytic_memory(update, graph).total_bits, bits);
  EXPECT_EQ(training_macs(update, graph).total(), multiplications);
}

TEST(AdditiveTerms, AddUpToTheModels) {
  const ir::Graph graph = testing::chain_graph();
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng{seed};
    compare_random_plan(graph, rng);
  }
}

TEST(AdditiveTerms, AddUpToTheModelsOnPublishedNetworks) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  for (const char* name : testing::kPublishedNetworks) {
    SCOPED_TRACE(name);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      Rng rng{seed};
      compare_random_plan(testing::published_network(data, name), rng);
    }
  }
}

TEST(AdditiveTerms, HaveTheShapeThatSolversTake) {
  const ir::Graph graph = testing::chain_graph();
  for (const AdditiveTerms& terms : {analytic_terms(graph, kRatios), mac_terms(graph, kRatios)}) {
    ASSERT_EQ(terms.by_depth.size(), 5U);
    EXPECT_EQ(terms.by_depth[0], 0);
    for (std::size_t depth = 1; depth < 5; ++depth) {
      EXPECT_GE(terms.by_depth[depth], terms.by_depth[depth - 1]);
    }
    ASSERT_EQ(terms.by_ratio.size(), 4U);
    for (const auto& row : terms.by_ratio) {
      ASSERT_EQ(row.size(), 5U);
      EXPECT_EQ(row[0], 0);
    }
  }
}

TEST(AvailableRatios, NeedAtLeastOneChannel) {
  const auto available = available_ratios(testing::chain_graph(), kRatios);
  // Of 3 input channels 1/8 and 1/4 keep none.
  EXPECT_EQ(available[0], (std::vector<bool>{true, false, false, true, true}));
  EXPECT_EQ(available[1], (std::vector<bool>{true, true, true, true, true}));
}

TEST(AvailableRatios, AreUpdatesOfTheirOwn) {
  // Of 3 input channels a half and 0.6 keep the same one.
  const std::vector<double> close{0.5, 0.6, 1.0};
  EXPECT_EQ(available_ratios(testing::chain_graph(), close)[0],
            (std::vector<bool>{true, true, false, true}));
}

}  // namespace
}  // namespace espalier::cost
