// What the host forms share: temporary memory and layouts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/kernels/aligned.hpp"
#include "espalier/kernels/conv.hpp"
#include "espalier/kernels/simd.hpp"
#include "loops.hpp"
#include "runtime/espalier_runtime.h"

namespace espalier::engine::host {

/// Of one thread, by what it holds.
struct Scratch {
  kernels::AlignedVector<float> gradient;
  kernels::AlignedVector<float> map;
  kernels::AlignedVector<float> result;
  kernels::AlignedVector<float> tile;
  kernels::AlignedVector<std::int32_t> tiles;
  kernels::AlignedVector<std::int32_t> sums;
  kernels::AlignedVector<std::int32_t> dense_sums;
  kernels::AlignedVector<std::int32_t> parameters;
  kernels::AlignedVector<std::int8_t> input;
  kernels::AlignedVector<std::int8_t> output;
  kernels::AlignedVector<std::int8_t> row;
  kernels::AlignedVector<std::uint8_t> mask;
  kernels::AlignedVector<std::uint8_t> dense_mask;
  kernels::Requantization requantization;
  kernels::ConvScratch conv;
};
Scratch& scratch();

inline std::int64_t in_pixels(const esp_conv& d) { return std::int64_t{d.in_h} * d.in_w; }
inline std::int64_t out_pixels(const esp_conv& d) { return std::int64_t{d.out_h} * d.out_w; }
inline int taps(const esp_conv& d) { return d.kernel_h * d.kernel_w; }

/// The first n elements of a buffer that grows. A GEMM may read a row of lanes beyond them.
template <typename T>
T* room(kernels::AlignedVector<T>& buffer, std::int64_t n) {
  return kernels::at_least(buffer, static_cast<std::size_t>(n) + kernels::kPanel);
}

/// Rows of `columns` to rows of `to_row`, zeros behind them.
template <typename T>
void pad_rows(std::int64_t rows, int columns, const T* from, int to_row, T* to) {
  for (std::int64_t r = 0; r < rows; ++r, from += columns, to += to_row) {
    __builtin_memcpy(to, from, sizeof(T) * static_cast<std::size_t>(columns));
    for (int c = columns; c < to_row; ++c) to[c] = T{};
  }
}

/// Rows of `from_row`, of which `columns` count, to dense ones.
template <typename T>
void compact_rows(std::int64_t rows, int columns, const T* from, int from_row, T* to) {
  for (std::int64_t r = 0; r < rows; ++r, from += from_row, to += columns) {
    __builtin_memcpy(to, from, sizeof(T) * static_cast<std::size_t>(columns));
  }
}

/// A byte an element of a mask of either kind.
const std::uint8_t* mask_bytes(const std::uint8_t* mask, std::int64_t elements, int bits);

/// A map of `channels` whose channels have parameters of their own, and these repeated.
Tiled tiled(std::int64_t pixels, int channels);
template <typename T>
void repeat(const Tiled& shape, int channels, T* tile) {
  for (std::int64_t i = channels; i < shape.tile; i += channels) {
    __builtin_memcpy(tile + i, tile, sizeof(T) * static_cast<std::size_t>(channels));
  }
}
template <typename T, typename Value>
void repeat(const Tiled& shape, int channels, Value value, T* tile) {
  for (int c = 0; c < channels; ++c) tile[c] = value(c);
  repeat(shape, channels, tile);
}

/// What a depthwise convolution, a map of `channels` channels and their weights have in common.
kernels::DepthwiseArgs depthwise_args(const esp_conv& d, int channels);

/// The map of the channels that a depthwise weight gradient is of, from zero, in padded rows.
const float* depthwise_map(const esp_conv& d, const std::int8_t* x, int width);

}  // namespace espalier::engine::host
