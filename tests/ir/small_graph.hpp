// A graph with every op, for tests that change one thing in it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::testing {

/// Input 6x6x4; conv0 (3x3, padded) 6x6x4; add conv0 + input; max pool 2x2 3x3x4; rescale;
/// conv1 (1x1, 2 groups) 3x3x6; average pool 3x3 1x1x6; lookup; mul; concat 1x1x12; select 1x1x5;
/// head of 3 classes.
inline ir::Graph graph_of_every_op() {
  ir::Graph graph;
  graph.name = "every";
  const auto tensor = [&](std::string name, ir::Shape shape, ir::Quantization q) {
    graph.tensors.push_back({std::move(name), shape, q});
    return static_cast<int>(graph.tensors.size()) - 1;
  };
  const auto conv = [](int in, int out, int groups, ir::Window window) {
    const auto each = static_cast<std::size_t>(window.kernel_h * window.kernel_w * (in / groups));
    return ir::Conv2D{.window = window,
                      .in_channels = in,
                      .out_channels = out,
                      .groups = groups,
                      .weights = std::vector<std::int8_t>(std::size_t(out) * each, 1),
                      .weight_scales = std::vector<float>(std::size_t(out), 0.01F),
                      .bias = std::vector<std::int32_t>(std::size_t(out), 0)};
  };
  graph.input = tensor("input", {6, 6, 4}, {0.02F, 3});
  int x = tensor("c0", {6, 6, 4}, {0.1F, -5});
  graph.ops.push_back({"conv0", conv(4, 4, 1, {3, 3, 1, 1, 1, 1, 1, 1}), {graph.input}, x});
  int y = tensor("sum", {6, 6, 4}, {0.2F, 0});
  graph.ops.push_back({"add", ir::Add{}, {x, graph.input}, y});
  x = tensor("max", {3, 3, 4}, {0.2F, 0});
  graph.ops.push_back({"max", ir::MaxPool{{2, 2, 2, 2}}, {y}, x});
  y = tensor("scaled", {3, 3, 4}, {0.3F, 1});
  graph.ops.push_back({"rescale", ir::Rescale{}, {x}, y, -10, 20});
  x = tensor("c1", {3, 3, 6}, {0.1F, 0});
  graph.ops.push_back({"conv1", conv(4, 6, 2, {1, 1, 1, 1}), {y}, x});
  y = tensor("mean", {1, 1, 6}, {0.1F, 0});
  graph.ops.push_back({"mean", ir::AveragePool{{3, 3, 1, 1}}, {x}, y});
  x = tensor("table", {1, 1, 6}, {0.01F, 5});
  graph.ops.push_back({"lookup", ir::Lookup{}, {y}, x});
  int z = tensor("product", {1, 1, 6}, {0.1F, 0});
  graph.ops.push_back({"mul", ir::Mul{}, {x, y}, z});
  x = tensor("joined", {1, 1, 12}, {0.1F, 0});
  graph.ops.push_back({"concat", ir::Concat{}, {z, y}, x});
  y = tensor("picked", {1, 1, 5}, {0.1F, 0});
  graph.ops.push_back({"select", ir::Select{{7, 0, 11, 6, 3}}, {x}, y});
  graph.features = y;
  graph.head = {5, 3, std::vector<float>(15, 0.1F), std::vector<float>(3, 0.0F)};
  return graph;
}

}  // namespace espalier::testing
