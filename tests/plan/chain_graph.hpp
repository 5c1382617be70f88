// A small graph of which every conv kind is known by index:
//   0 full 3x3, 3 -> 8   1 depthwise 3x3, 8   2 pointwise, 8 -> 16   3 grouped 1x1 (4 groups), 16
//   -> 8
#pragma once

#include "testing/random_graph.hpp"

namespace espalier::testing {

inline ir::Graph chain_graph() {
  GraphBuilder builder(7, {12, 12, 3});
  ir::TensorId x = builder.conv(builder.input(), 8, window(3, 2, 1));
  x = builder.conv(x, 8, window(3, 1, 1), 8);
  x = builder.conv(x, 16, window(1, 1, 0));
  x = builder.conv(x, 8, window(1, 1, 0), 4);
  ir::Graph graph = builder.finish(builder.global_pool(x), 5);
  graph.name = "chain";
  graph.sha256 = std::string(64, 'a');
  return graph;
}

}  // namespace espalier::testing
