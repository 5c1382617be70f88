// Equality of graphs up to names and the hash of the file.
#pragma once

#include <gtest/gtest.h>

#include <array>

#include "espalier/ir/graph.hpp"

namespace espalier::testing {

/// Without the dilation, which is 1.
inline std::array<int, 8> values(const ir::Window& w) {
  EXPECT_FALSE(w.dilated());
  return {w.kernel_h, w.kernel_w, w.stride_h,   w.stride_w,
          w.pad_top,  w.pad_left, w.pad_bottom, w.pad_right};
}
inline std::array<int, 10> all_values(const ir::Window& w) {
  return {w.kernel_h, w.kernel_w,   w.stride_h,  w.stride_w,   w.pad_top,
          w.pad_left, w.pad_bottom, w.pad_right, w.dilation_h, w.dilation_w};
}

inline void expect_same(const ir::Conv2D& a, const ir::Conv2D& b) {
  EXPECT_EQ(all_values(a.window), all_values(b.window));
  EXPECT_EQ(a.in_channels, b.in_channels);
  EXPECT_EQ(a.out_channels, b.out_channels);
  EXPECT_EQ(a.groups, b.groups);
  EXPECT_EQ(a.weights, b.weights);
  EXPECT_EQ(a.weight_scales, b.weight_scales);
  EXPECT_EQ(a.bias, b.bias);
}
inline void expect_same(const ir::Add&, const ir::Add&) {}
inline void expect_same(const ir::Mul&, const ir::Mul&) {}
inline void expect_same(const ir::Concat&, const ir::Concat&) {}
inline void expect_same(const ir::Select& a, const ir::Select& b) {
  EXPECT_EQ(a.channels, b.channels);
}
inline void expect_same(const ir::Lookup& a, const ir::Lookup& b) {
  EXPECT_EQ(a.outputs, b.outputs);
  EXPECT_EQ(a.derivatives, b.derivatives);
}
inline void expect_same(const ir::Rescale&, const ir::Rescale&) {}
inline void expect_same(const ir::AveragePool& a, const ir::AveragePool& b) {
  EXPECT_EQ(values(a.window), values(b.window));
  EXPECT_EQ(a.rounding, b.rounding);
}
inline void expect_same(const ir::MaxPool& a, const ir::MaxPool& b) {
  EXPECT_EQ(values(a.window), values(b.window));
}

inline void expect_equivalent(const ir::Graph& a, const ir::Graph& b) {
  const auto expect_tensor = [&](ir::TensorId x, ir::TensorId y) {
    EXPECT_EQ(x, y);
    EXPECT_EQ(a.tensor(x).shape, b.tensor(y).shape);
    EXPECT_EQ(a.tensor(x).quantization, b.tensor(y).quantization);
  };
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  ASSERT_EQ(a.ops.size(), b.ops.size());
  expect_tensor(a.input, b.input);
  expect_tensor(a.features, b.features);
  for (std::size_t i = 0; i < a.ops.size(); ++i) {
    SCOPED_TRACE(a.ops[i].name);
    ASSERT_EQ(a.ops[i].params.index(), b.ops[i].params.index());
    ASSERT_EQ(a.ops[i].inputs, b.ops[i].inputs);
    expect_tensor(a.ops[i].output, b.ops[i].output);
    EXPECT_EQ(a.ops[i].clamp_low, b.ops[i].clamp_low);
    EXPECT_EQ(a.ops[i].clamp_high, b.ops[i].clamp_high);
    std::visit(
        [&](const auto& params) {
          expect_same(params, std::get<std::decay_t<decltype(params)>>(b.ops[i].params));
        },
        a.ops[i].params);
  }
  EXPECT_EQ(a.head.features, b.head.features);
  EXPECT_EQ(a.head.classes, b.head.classes);
  EXPECT_EQ(a.head.weights, b.head.weights);
  EXPECT_EQ(a.head.bias, b.head.bias);
}

}  // namespace espalier::testing
