#include "espalier/cost/training_macs.hpp"

#include <gtest/gtest.h>

#include "plan/chain_graph.hpp"
#include "plan/published_networks.hpp"

namespace espalier::cost {
namespace {

// Forward MACs of the convs of chain_graph().
constexpr std::int64_t kConvMacs[] = {36 * 8 * 27, 36 * 8 * 9, 36 * 16 * 8, 36 * 8 * 4};
constexpr std::int64_t kHeadMacs = 8 * 5;
constexpr std::int64_t kForward =
    kConvMacs[0] + kConvMacs[1] + kConvMacs[2] + kConvMacs[3] + kHeadMacs;

TEST(TrainingMacs, OfTheHeadAloneNeedNoInputGradient) {
  const ir::Graph graph = testing::chain_graph();
  EXPECT_EQ(training_macs(plan::head_only(graph), graph), (TrainingMacs{kForward, 0, kHeadMacs}));
}

TEST(TrainingMacs, TheShallowestTrainedConvPassesNothingOn) {
  const ir::Graph graph = testing::chain_graph();
  EXPECT_EQ(training_macs(plan::bias_only(graph, 1).value(), graph),
            (TrainingMacs{kForward, kHeadMacs, kHeadMacs}));
  EXPECT_EQ(training_macs(plan::bias_only(graph, 3).value(), graph),
            (TrainingMacs{kForward, kHeadMacs + kConvMacs[3] + kConvMacs[2], kHeadMacs}));
}

TEST(TrainingMacs, AFullUpdateTriplesTheForwardButForTheFirstInputGradient) {
  const ir::Graph graph = testing::chain_graph();
  EXPECT_EQ(training_macs(plan::full(graph), graph),
            (TrainingMacs{kForward, kForward - kConvMacs[0], kForward}));
}

TEST(TrainingMacs, WeightGradientsCountTrainedChannels) {
  const ir::Graph graph = testing::chain_graph();
  plan::UpdatePlan update = plan::bias_only(graph, 4).value();
  update.weights.push_back(plan::make_weight_update(graph, 0, 0.7));   // 2 of 3 channels
  update.weights.push_back(plan::make_weight_update(graph, 3, 0.25));  // 4 of 16
  EXPECT_EQ(training_macs(update, graph).weight_gradient,
            kHeadMacs + kConvMacs[0] * 2 / 3 + kConvMacs[3] / 4);
}

TEST(TrainingMacs, ABranchBesideTheTrainedLayersNeedsNoInputGradient) {
  testing::GraphBuilder builder(3, {8, 8, 4});
  const ir::TensorId stem = builder.conv(builder.input(), 4, testing::window(3, 1, 1));
  const ir::TensorId left = builder.conv(stem, 4, testing::window(3, 1, 1));
  const ir::TensorId right = builder.conv(stem, 4, testing::window(1, 1, 0));
  const ir::TensorId sum = builder.add(left, right);
  const ir::Graph graph = builder.finish(builder.global_pool(sum), 2);
  const std::int64_t head = 4 * 2;
  const std::int64_t left_macs = 64 * 4 * 36;
  const std::int64_t right_macs = 64 * 4 * 4;
  // Trained: left and right. Neither reads the other, so only the head passes a gradient on.
  EXPECT_EQ(training_macs(plan::bias_only(graph, 2).value(), graph).input_gradient, head);
  // The stem as well: both branches lead to it.
  EXPECT_EQ(training_macs(plan::bias_only(graph, 3).value(), graph).input_gradient,
            head + left_macs + right_macs);
}

TEST(TrainingMacs, ForwardOfThePublishedNetworks) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  // The bodies' MACs as the model files' tables give them.
  const std::pair<const char*, std::int64_t> expected[] = {{"mcunet-5fps", 22453504}};
  for (const auto& [name, body] : expected) {
    const ir::Graph& graph = testing::published_network(data, name);
    const std::int64_t head = std::int64_t{graph.head.features} * graph.head.classes;
    const TrainingMacs macs = training_macs(plan::full(graph), graph);
    EXPECT_EQ(macs.forward, body + head);
    EXPECT_EQ(macs.weight_gradient, body + head);
  }
}

}  // namespace
}  // namespace espalier::cost
