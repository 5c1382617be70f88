#include "espalier/cost/analytic_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "plan/chain_graph.hpp"
#include "plan/published_networks.hpp"

namespace espalier::cost {
namespace {

TEST(AnalyticMemory, OfTheHeadAloneIsItsInput) {
  const ir::Graph graph = testing::chain_graph();
  const AnalyticMemory memory = analytic_memory(plan::head_only(graph), graph);
  EXPECT_TRUE(memory.convs.empty());
  EXPECT_EQ(memory.head_bits, 8 * 8);
  EXPECT_EQ(memory.total_bits, 64);
  EXPECT_EQ(memory.bytes(), Bytes{8});
}

TEST(AnalyticMemory, CountsEachConvKind) {
  const ir::Graph graph = testing::chain_graph();
  plan::UpdatePlan update = plan::bias_only(graph, 4).value();
  update.weights.push_back(plan::make_weight_update(graph, 0, 0.7));
  update.weights.push_back(plan::make_weight_update(graph, 1, 0.5));
  update.weights.push_back(plan::make_weight_update(graph, 3, 0.25));
  const AnalyticMemory memory = analytic_memory(update, graph);
  ASSERT_EQ(memory.convs.size(), 4U);
  // 12x12x3 -> 6x6x8: 2 of 3 channels, 9 * 8 weights each.
  EXPECT_EQ(memory.convs[0], (ConvMemory{0, 32 * 8, 8 * 2 * 72, 36 * 8, 8 * 144 * 2}));
  // Depthwise: 4 of 8 channels, 9 weights each.
  EXPECT_EQ(memory.convs[1], (ConvMemory{1, 32 * 8, 8 * 4 * 9, 36 * 8, 8 * 36 * 4}));
  // Bias only.
  EXPECT_EQ(memory.convs[2], (ConvMemory{2, 32 * 16, 0, 36 * 16, 0}));
  // 4 groups of 4 inputs and 2 outputs: an input channel owns 2 weights.
  EXPECT_EQ(memory.convs[3], (ConvMemory{3, 32 * 8, 8 * 4 * 2, 36 * 8, 8 * 36 * 4}));
  std::int64_t sum = memory.head_bits;
  for (const ConvMemory& conv : memory.convs) sum += conv.total_bits();
  EXPECT_EQ(memory.total_bits, sum);
}

TEST(AnalyticMemory, RoundsUpToBytes) {
  AnalyticMemory memory;
  memory.total_bits = 17;
  EXPECT_EQ(memory.bytes(), Bytes{3});
  memory.total_bits = 16;
  EXPECT_EQ(memory.bytes(), Bytes{2});
}

// Compares one configuration of the reference with ours, conv by conv.
void compare(const Json& config, const ir::Graph& graph) {
  const Result<plan::UpdatePlan> update = plan::from_published(graph, config);
  ASSERT_TRUE(update.ok()) << update.error().message();
  const AnalyticMemory memory = analytic_memory(*update, graph);
  const Json& indices = config["conv_idx"];
  const Json& weights = config["weight_bits"];
  const Json& activations = config["activation_bits"];
  ASSERT_EQ(indices.size(), memory.convs.size() + 1);
  for (std::size_t i = 0; i < memory.convs.size(); ++i) {
    const ConvMemory& conv = memory.convs[i];
    EXPECT_EQ(conv.conv, indices[i].get<int>());
    EXPECT_EQ(conv.bias_bits + conv.weight_bits, weights[i].get<std::int64_t>());
    EXPECT_EQ(conv.mask_bits + conv.input_bits, activations[i].get<std::int64_t>());
  }
  ASSERT_EQ(indices.back(), "fc");
  EXPECT_EQ(weights.back().get<std::int64_t>(), 0);
  EXPECT_EQ(memory.head_bits, activations.back().get<std::int64_t>());
  EXPECT_EQ(memory.total_bits, config["total_bits"].get<std::int64_t>());
  EXPECT_EQ(memory.bytes().kib(), config["total_kB"].get<double>());
}

class PublishedMemory : public ::testing::TestWithParam<const char*> {};

TEST_P(PublishedMemory, IsReproducedToTheBit) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Json reference =
      parse_json(read_file(data / "reference" / "memory_reference.json").value(), "reference")
          .value();
  const ir::Graph& graph = testing::published_network(data, GetParam());
  const Json& model = reference["models"][GetParam()];
  const auto convs = model["n_conv"].get<std::size_t>();
  EXPECT_EQ(ir::conv_ops(graph).size(), convs);
  std::size_t configs = 0;
  std::size_t points = 0;
  for (const auto& [name, config] : model["configs"].items()) {
    SCOPED_TRACE(name);
    if (config.contains("n_bias_update")) {
      compare(config, graph);
      ++configs;
      continue;
    }
    for (const auto& [depth, point] : config.items()) {
      SCOPED_TRACE("k = " + depth);
      compare(point, graph);
      ++points;
      // The same figures through the builders.
      const int k = std::stoi(depth);
      const plan::UpdatePlan built = name == "update_last_k" ? plan::last_k(graph, k).value()
                                                             : plan::bias_only(graph, k).value();
      EXPECT_EQ(analytic_memory(built, graph).total_bits, point["total_bits"].get<std::int64_t>());
    }
  }
  EXPECT_EQ(configs, 9U);
  EXPECT_GE(points, convs);
}

INSTANTIATE_TEST_SUITE_P(Networks, PublishedMemory,
                         ::testing::ValuesIn(testing::kPublishedNetworks), [](const auto& param) {
                           std::string name = param.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                           return name;
                         });

}  // namespace
}  // namespace espalier::cost
