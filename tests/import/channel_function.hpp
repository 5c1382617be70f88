// Functions of a tensor that differ from channel to channel.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "espalier/ir/input.hpp"
#include "testing/forward.hpp"

namespace espalier::testing {

using RealFunctions = std::vector<std::function<double(double)>>;

/// Expects that what the average pool at the end reads is each channel's function of the input, to
/// half a unit of the quantisation that it has in the file, for every value that the input can
/// have.
inline void expect_by_channel(const ir::Graph& graph, const ir::Quantization& to,
                              const RealFunctions& functions, double tolerance = 0.5001) {
  const ir::Tensor& input = graph.tensor(graph.input);
  const ir::Quantization from = ir::file_input_quantization(graph);
  const ir::TensorId id = graph.ops.back().inputs[0];
  const std::size_t channels = functions.size();
  const auto elements = static_cast<std::size_t>(input.shape.elements());
  for (int q = -128; q <= 127; ++q) {
    const std::vector<std::int8_t> x(elements, static_cast<std::int8_t>(q));
    const std::vector<std::int8_t> y = forward(graph, x).tensors[static_cast<std::size_t>(id)];
    ASSERT_EQ(y.size(), elements);
    const double real = (q - from.zero_point) * double{from.scale};
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double units = functions[i % channels](real) / double{to.scale} + to.zero_point;
      EXPECT_NEAR(y[i], std::clamp(units, -128.0, 127.0), tolerance) << q << " element " << i;
    }
  }
}

}  // namespace espalier::testing
