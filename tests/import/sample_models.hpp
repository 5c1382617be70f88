// Models that several import tests share, each exercising other features of the reader.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnx_builder.hpp"

namespace espalier::testing {

/// Image [N,2,6,6], one 3x3 Conv to 4 channels, global pooling, float classifier with 3 classes.
inline OnnxBuilder small_model() {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 6, 6}), "input", 0.02F, 3);
  const std::string w = b.weights("c0_w", {4, 2, 3, 3}, ramp<std::int8_t>(72, -127, 127),
                                  {0.01F, 0.02F, 0.03F, 0.04F});
  const std::string bias =
      b.bias("c0_b", {100, -200, 300, -400}, {0.0002F, 0.0004F, 0.0006F, 0.0008F});
  set_attribute(b.node("Conv", {x, w, bias}, "c0"), "pads", Dims{1, 1, 1, 1});
  const std::string y = b.quantized("c0", "c0", 0.1F, -5);
  b.node("GlobalAveragePool", {y}, "pool");
  const std::string f = b.quantized("pool", "pool", 0.1F, -5);
  b.classifier(f, 4, 3);
  return b;
}

/// uint8 activations and weights, auto_pad, strides, groups, Relu and Clip, pools, a residual Add,
/// a Gemm behind Flatten and a quantised MatMul classifier with Softmax.
inline OnnxBuilder mixed_model() {
  using U8 = std::uint8_t;
  OnnxBuilder b;
  std::string x = b.quantized<U8>(b.input("image", {1, 3, 9, 8}), "image", 0.02F, 120);

  std::string w = b.weights<U8>("a_w", {4, 3, 3, 3}, ramp<U8>(108, 20, 236), {0.01F}, 128);
  auto& a = b.node("Conv", {x, w}, "a");
  set_attribute(a, "auto_pad", std::string("SAME_LOWER"));
  set_attribute(a, "strides", Dims{2, 2});
  x = b.quantized<U8>(b.relu("a", "a_relu"), "a", 0.03F, 0);

  w = b.weights<std::int8_t>("g_w", {4, 2, 3, 3}, ramp<std::int8_t>(72, -60, 60),
                             {0.02F, 0.01F, 0.03F, 0.02F});
  auto& g = b.node("Conv", {x, w, b.constant<float>("g_b", {4}, {0.5F, -0.25F, 1.0F, 0.0F})}, "g");
  set_attribute(g, "group", std::int64_t{2});
  set_attribute(g, "pads", Dims{0, 1, 2, 1});
  b.node("Clip", {"g", b.scalar("g_min", -1.0F), b.scalar("g_max", 2.0F)}, "g_clip");
  const std::string y = b.quantized<U8>("g_clip", "g", 0.02F, 77);

  b.node("Add", {x, y}, "sum");
  x = b.quantized<U8>(b.relu("sum", "sum_relu"), "sum", 0.04F, 10);

  auto& max = b.node("MaxPool", {x}, "max");
  set_attribute(max, "kernel_shape", Dims{2, 2});
  set_attribute(max, "pads", Dims{0, 0, 1, 0});
  x = b.quantized<U8>("max", "max", 0.04F, 10);
  auto& average = b.node("AveragePool", {x}, "average");
  set_attribute(average, "kernel_shape", Dims{3, 2});
  set_attribute(average, "strides", Dims{2, 1});
  set_attribute(average, "auto_pad", std::string("SAME_UPPER"));
  x = b.quantized<U8>("average", "average", 0.03F, 5);

  // [4,3,3] -> 36 features.
  b.node("Reshape", {x, b.constant<std::int64_t>("flat_shape", {2}, {0, -1})}, "flat");
  w = b.weights<std::int8_t>("h_w", {5, 36}, ramp<std::int8_t>(180, -20, 21), {0.01F});
  auto& h = b.node("Gemm", {"flat", w}, "h");
  set_attribute(h, "transB", std::int64_t{1});
  x = b.quantized<U8>(b.relu("h", "h_relu"), "h", 0.02F, 0);

  w = b.weights<std::int8_t>("m_w", {5, 3}, ramp<std::int8_t>(15, -7, 7), {0.2F});
  b.node("MatMul", {x, w}, "m");
  x = b.quantized<U8>("m", "m", 0.2F, 128);
  const std::string bias = b.weights<U8>("m_b", {3}, {10, 128, 250}, {0.01F}, 128);
  b.node("Add", {x, bias}, "biased");
  set_attribute(b.node("Softmax", {b.quantized<U8>("biased", "biased", 0.2F, 128)}, "scores"),
                "axis", std::int64_t{-1});
  b.output("scores", {1, 3});
  return b;
}

}  // namespace espalier::testing
