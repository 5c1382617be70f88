// The vector kernels and their run-time dispatch.
//
// Every variant computes the same bits. Integer results are exact. Float results have a fixed
// order: in a GEMM fused multiply-add chains in increasing k over blocks of kGemmDepth, the block
// sums added in order; in depthwise gradients one chain over taps or over pixels. Vector lanes only
// ever run over independent outputs, so their width does not matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace espalier::kernels {

/// Channel strides of activations and gradients are multiples of this.
inline constexpr int kLanes = 16;
/// Columns of one packed panel of a GEMM's right operand.
inline constexpr int kPanel = 48;
/// Products that are chained before a block sum is added. Exact in fp32 for int8 operands:
/// 128 * 255 * 127 < 2^24.
inline constexpr int kGemmDepth = 128;

constexpr int padded(int channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

/// C[m][n] (+)= sum_k A(m, k) * B(k, n).
/// A(m, k) = a[m * a_row + k * a_column]. n is a multiple of kLanes; column j of B lies in panel
/// j / kPanel: B(k, j) = b[(j / kPanel) * b_panel + k * b_row + j % kPanel].
struct GemmArgs {
  int m = 0;
  int n = 0;
  int k = 0;
  const float* a = nullptr;
  std::ptrdiff_t a_row = 0;
  std::ptrdiff_t a_column = 1;
  const float* b = nullptr;
  std::ptrdiff_t b_row = kPanel;
  std::ptrdiff_t b_panel = kPanel;
  void* c = nullptr;  ///< float or int32, by kernel
  std::ptrdiff_t c_row = 0;
};

/// Per-channel requantisation of `rows` rows of int32 accumulators:
/// p = apply({multiplier, shift}, saturating_add(acc, bias)) + zero_point, y = clamp(p).
struct RequantizeArgs {
  int rows = 0;
  int channels = 0;  ///< multiple of kLanes
  const std::int32_t* acc = nullptr;
  std::ptrdiff_t acc_row = 0;
  const std::int32_t* bias = nullptr;
  const std::int32_t* multiplier = nullptr;
  const std::int32_t* shift = nullptr;
  int zero_point = 0;
  int low = -128;
  int high = 127;
  std::int8_t* out = nullptr;
  std::uint8_t* mask = nullptr;  ///< 1 where low <= p <= high; null when not wanted
  std::ptrdiff_t out_row = 0;
};

/// One sample of a depthwise convolution on maps of `stride` channels (multiple of kLanes).
struct DepthwiseArgs {
  int in_height = 0, in_width = 0, out_height = 0, out_width = 0;
  int kernel_h = 0, kernel_w = 0, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0;
  int channels = 0;                ///< multiple of kLanes
  const float* x = nullptr;        ///< [in_height][in_width][channels], zero point subtracted
  const float* g = nullptr;        ///< [out_height][out_width][channels]
  const float* weights = nullptr;  ///< [kernel_h][kernel_w][channels]
  std::int32_t* acc = nullptr;     ///< forward: [out_height][out_width][channels], overwritten
  float* dx = nullptr;             ///< input gradient
  bool accumulate = false;         ///< add to dx instead of overwriting it
  float* dw = nullptr;             ///< weight gradient [kernel_h][kernel_w][channels], added to
};

/// One implementation of every vector kernel.
struct KernelTable {
  std::string_view name;
  /// C float, overwritten or added to.
  void (*gemm)(const GemmArgs&, bool accumulate);
  /// C int32, overwritten; exact for integer A and B whose products fit 24 bits.
  void (*gemm_integer)(const GemmArgs&);
  void (*requantize)(const RequantizeArgs&);
  /// out[i] = in[i] - zero_point.
  void (*widen)(const std::int8_t* in, int zero_point, std::size_t count, float* out);
  void (*depthwise_forward)(const DepthwiseArgs&);
  void (*depthwise_input_gradient)(const DepthwiseArgs&);
  void (*depthwise_weight_gradient)(const DepthwiseArgs&);
  /// g[row][c] = mask ? g[row][c] * scale[c] : 0, and sum[c] += over rows of g, when sum is given.
  void (*mask_scale)(float* g, const std::uint8_t* mask, const float* scale, int rows, int channels,
                     float* sum);
};

/// The fastest implementation this machine runs. The environment variable ESPALIER_ISA
/// (`portable`, `avx2`, `avx512`) picks a slower one.
const KernelTable& kernels();

/// Replaces what kernels() returns, for tests that compare implementations.
void use_kernels(const KernelTable& table);

/// All implementations that this machine runs, portable first.
struct KernelTables {
  const KernelTable* tables[3] = {};
  int count = 0;
};
KernelTables all_kernels();

}  // namespace espalier::kernels
