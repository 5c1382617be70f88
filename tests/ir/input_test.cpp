// The network's input between the model file and the graph.
#include "espalier/ir/input.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "small_graph.hpp"

namespace espalier {
namespace {

using ::testing::ElementsAre;

// conv0 alone, so that nothing stands in the way of another unit.
ir::Graph chain(float input_scale) {
  ir::Graph graph = testing::graph_of_every_op();
  graph.ops[1].inputs = {1, 1};
  auto& conv = std::get<ir::Conv2D>(graph.ops[0].params);
  conv.weight_scales = {0.01F, 0.02F, 0.003F, 1.7F};
  graph.tensors[0].quantization.scale = input_scale;
  return graph;
}

const std::vector<float>& scales(const ir::Graph& graph) {
  return std::get<ir::Conv2D>(graph.ops[0].params).weight_scales;
}

TEST(InputUnit, CustomarySpansKeepTheirs) {
  for (const float scale : {1.0F / 255, 2.0F / 255, 1.0F / 128, 0.0186F, 0.0207F}) {
    ir::Graph graph = chain(scale);
    ir::normalize_input_unit(graph);
    EXPECT_EQ(graph.tensor(0).quantization.scale, scale);
    EXPECT_EQ(graph.input_format.unit, 1.0F);
  }
}

TEST(InputUnit, OthersComeToASpanOfAboutOneWithoutChangingABitOfAnyFactor) {
  for (const float scale : {1.0F, 0.5847F, 1.0F / 65025, 1000.0F, 3e-6F}) {
    SCOPED_TRACE(scale);
    const ir::Graph before = chain(scale);
    ir::Graph after = before;
    ir::normalize_input_unit(after);
    const float now = after.tensor(0).quantization.scale;
    EXPECT_GT(now * 255, 0.7);
    EXPECT_LT(now * 255, 1.42);
    for (std::size_t o = 0; o < 4; ++o) {
      EXPECT_EQ(static_cast<double>(now) * scales(after)[o],
                static_cast<double>(scale) * scales(before)[o]);
    }
    EXPECT_EQ(ir::file_input_quantization(after), before.tensor(0).quantization);
    EXPECT_EQ(ir::to_text(ir::in_file_units(after)), ir::to_text(before));
    EXPECT_EQ(scales(ir::in_file_units(after)), scales(before));
  }
}

TEST(InputUnit, APairWrittenForPixelsAndForUnitsIsTheSameNetwork) {
  ir::Graph pixels = chain(1.0F);
  ir::Graph units = chain(1.0F / 255);
  for (float& scale : std::get<ir::Conv2D>(units.ops[0].params).weight_scales) scale *= 255;
  ir::normalize_input_unit(pixels);
  ir::normalize_input_unit(units);
  for (std::size_t o = 0; o < 4; ++o) {
    EXPECT_NEAR(scales(pixels)[o] / scales(units)[o], 1, 0.005);
  }
}

TEST(InputUnit, PassesPoolsAndRescalingsAndReachesTheHead) {
  ir::Graph graph = testing::graph_of_every_op();
  // input -> max -> rescale -> features, input scale 1.
  graph.tensors = {{"input", {2, 2, 3}, {1.0F, 0}},
                   {"max", {1, 1, 3}, {1.0F, 0}},
                   {"scaled", {1, 1, 3}, {2.0F, 1}}};
  graph.ops = {{"max", ir::MaxPool{{2, 2}}, {0}, 1}, {"rescale", ir::Rescale{}, {1}, 2}};
  graph.features = 2;
  graph.head = {3, 1, {1, 2, 3}, {0}};
  ASSERT_TRUE(ir::verify(graph).ok());
  ir::normalize_input_unit(graph);
  EXPECT_TRUE(ir::verify(graph).ok());
  EXPECT_EQ(graph.tensor(2).quantization.scale, 2.0F / 256);
  EXPECT_THAT(graph.head.weights, ElementsAre(256, 512, 768));
  EXPECT_EQ(graph.input_format.unit, 256);
}

TEST(InputUnit, ASumThatReadsTheInputKeepsIt) {
  ir::Graph graph = testing::graph_of_every_op();
  graph.tensors[0].quantization.scale = 1;
  EXPECT_FALSE(ir::divide_input_unit(graph, 2));
  ir::normalize_input_unit(graph);
  EXPECT_EQ(graph.tensor(0).quantization.scale, 1);
  EXPECT_EQ(scales(graph)[0], 0.01F);
}

TEST(InputFormat, OrderOfElements) {
  ir::Graph graph = chain(0.02F);
  graph.tensors[0].shape = {2, 1, 3};
  EXPECT_THAT(ir::file_input_dims(graph), ElementsAre(2, 1, 3));
  EXPECT_THAT(ir::file_input_order(graph), ElementsAre(0, 1, 2, 3, 4, 5));
  graph.input_format = {.dims = {3, 2}, .strides = {1, 0, 2}};
  EXPECT_THAT(ir::file_input_dims(graph), ElementsAre(3, 2));
  EXPECT_THAT(ir::file_input_order(graph), ElementsAre(0, 2, 4, 1, 3, 5));
}

}  // namespace
}  // namespace espalier
