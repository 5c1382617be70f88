// Adds, rescalings, tables and pools, forward and gradient, on channels-last maps with channel
// strides. Gradients are with respect to int8 units; the mask is the one that forward produced.
#pragma once

#include <cstdint>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/ir/graph.hpp"

namespace espalier::kernels {

/// Map geometry of an element-wise op or pool.
struct MapGeometry {
  ir::Shape in;
  ir::Shape out;
  int in_stride = 0;
  int out_stride = 0;
  int second_stride = 0;  ///< of a second operand, which has the shape `in` too
  bool gate = false;      ///< the second operand is one number a channel instead
};

/// Rescaling of one or two operands, or of a mean, into one output.
struct ElementwiseParams {
  ir::FixedPointPair fixed;  ///< operand scales over the output scale
  int zero_a = 0;
  int zero_b = 0;
  int zero_out = 0;
  int low = -128;
  int high = 127;
  float factor_a = 1.0F;  ///< gradient factors
  float factor_b = 1.0F;
};

/// For an op that saturates, convolutions aside. Of a product the first factor is that of both.
ElementwiseParams make_elementwise(const ir::Graph& graph, const ir::Op& op);

/// y = clamp(round((a - za) * sa/sy + (b - zb) * sb/sy) + zy); b may be null (Rescale).
void add_forward(const ElementwiseParams& params, const MapGeometry& geometry, int samples,
                 const std::int8_t* a, const std::int8_t* b, std::int8_t* y, std::uint8_t* mask);

/// dx (+)= dy * mask * factor, where dx is of the operand with pixels `dx_stride` apart.
void add_backward(float factor, const MapGeometry& geometry, int dx_stride, int samples,
                  const float* dy, const std::uint8_t* mask, float* dx, bool accumulate);

/// y = clamp(round((a - za) * (b - zb) * sa*sb/sy) + zy).
void multiply_forward(const ElementwiseParams& params, const MapGeometry& geometry, int samples,
                      const std::int8_t* a, const std::int8_t* b, std::int8_t* y,
                      std::uint8_t* mask);
/// dL/da (+)= dy * mask * factor * (b - zb).
void multiply_backward(const ElementwiseParams& params, const MapGeometry& geometry, int samples,
                       const std::int8_t* b, const float* dy, const std::uint8_t* mask, float* da,
                       bool accumulate);
/// dL/db (+)= dy * mask * factor * (a - za), for a gate summed over the pixels.
void multiply_backward_second(const ElementwiseParams& params, const MapGeometry& geometry,
                              int samples, const std::int8_t* a, const float* dy,
                              const std::uint8_t* mask, float* db, bool accumulate);

/// Copies `channels` of every pixel; the other channels of y stay.
void copy_channels(std::int64_t pixels, int channels, const std::int8_t* x, int x_stride,
                   std::int8_t* y, int y_stride);
/// dx (+)= `channels` of every pixel of dy.
void copy_channel_gradients(std::int64_t pixels, int channels, const float* dy, int dy_stride,
                            float* dx, int dx_stride, bool accumulate);

void select_forward(const ir::Select& select, const MapGeometry& geometry, int samples,
                    const std::int8_t* x, std::int8_t* y);
/// dx (+)= dy in the channels that are selected, 0 in the others.
void select_backward(const ir::Select& select, const MapGeometry& geometry, int samples,
                     const float* dy, float* dx, bool accumulate);

void lookup_forward(const ir::Lookup& table, const MapGeometry& geometry, int samples,
                    const std::int8_t* x, std::int8_t* y);
/// dx (+)= dy * derivative of x.
void lookup_backward(const ir::Lookup& table, const MapGeometry& geometry, int samples,
                     const std::int8_t* x, const float* dy, float* dx, bool accumulate);

void average_pool_forward(const ir::AveragePool& pool, const MapGeometry& geometry, int samples,
                          const std::int8_t* x, std::int8_t* y);
/// Of a pool that requantises: y = clamp(round(mean(x - zx) * sx/sy) + zy), rounded once.
void average_pool_requantized(const ir::AveragePool& pool, const ElementwiseParams& params,
                              const MapGeometry& geometry, int samples, const std::int8_t* x,
                              std::int8_t* y, std::uint8_t* mask);
/// Of a pool that requantises, dy is what add_backward() made of the gradient.
void average_pool_backward(const ir::AveragePool& pool, const MapGeometry& geometry, int samples,
                           const float* dy, float* dx, bool accumulate);

void max_pool_forward(const ir::MaxPool& pool, const MapGeometry& geometry, int samples,
                      const std::int8_t* x, std::int8_t* y);
/// The gradient goes to the first maximum in row order.
void max_pool_backward(const ir::MaxPool& pool, const MapGeometry& geometry, int samples,
                       const std::int8_t* x, const float* dy, float* dx, bool accumulate);

/// The mean of `count` integers with sum `sum`, rounded.
int rounded_mean(std::int32_t sum, std::int32_t count, ir::HalfRounding rounding);
/// round(sum / count * factor), ties towards plus infinity; |sum| <= 255 * count.
std::int64_t requantized_mean(std::int32_t sum, std::int32_t count, ir::FixedPoint factor);

}  // namespace espalier::kernels
