// The vector kernels and their run-time dispatch.
//
// Every variant computes the same bits. Integer results are exact. Float results have a fixed
// order: in a GEMM fused multiply-add chains in increasing k over blocks of kGemmDepth, the block
// sums added in order; in depthwise gradients one chain over taps or over pixels. The unfused
// forms, for the numerics of the C kernels, are single chains. Vector lanes only ever run over
// independent outputs, so their width does not matter.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace espalier::kernels {

/// Channel strides of activations and gradients are multiples of this.
inline constexpr int kLanes = 16;
/// Columns of one packed panel of a GEMM's right operand.
inline constexpr int kPanel = 48;
/// Products that are chained before a block sum is added. Exact in fp32 for int8 operands:
/// 128 * 255 * 128 < 2^24.
inline constexpr int kGemmDepth = 128;

// Not std::min: what the variants compile with their own flags must be theirs alone.
constexpr int min_int(int a, int b) { return a < b ? a : b; }
constexpr int max_int(int a, int b) { return a > b ? a : b; }

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

/// What turns four int8 into x + 128 as unsigned bytes, and back, by exclusive-or.
inline constexpr std::uint32_t kLift = 0x80808080;

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
  /// Exclusive-or of four outputs as they are stored: 0, or kLift, which makes them x + 128.
  std::uint32_t lift = 0;
  bool bounded = false;  ///< no accumulator exceeds 2^29 in magnitude; int8 kernels need that
  const std::int32_t* reach = nullptr;  ///< by channel, what none exceeds, where that is known
};

/// p = round(((a - zero_a) * multiplier_a + (b - zero_b) * multiplier_b) / 2^shift) + zero_out,
/// y = clamp(p).
struct RescaleArgs {
  std::size_t count = 0;  ///< multiple of kLanes
  const std::int8_t* a = nullptr;
  const std::int8_t* b = nullptr;  ///< null without a second operand
  std::int32_t multiplier_a = 0;
  std::int32_t multiplier_b = 0;
  int shift = 31;
  int zero_a = 0;
  int zero_b = 0;
  int zero_out = 0;
  int low = -128;
  int high = 127;
  std::int8_t* out = nullptr;
  std::uint8_t* mask = nullptr;  ///< 1 where low <= p <= high; null when not wanted
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

/// Products of an accumulator of the int8 kernels, at most: its magnitude stays below 2^29.
inline constexpr int kMaxInt8Products = 16384;
/// An input less its zero point, at most.
inline constexpr int kMostInput = 255;
/// Neighbouring products of an accumulator that the packed int8 weights hold side by side.
inline constexpr int kQuad = 4;
constexpr int quads_of(int products) { return (products + kQuad - 1) / kQuad; }

/// The int8 kernels may read and write so many bytes too far: whole vectors at the end of a row.
inline constexpr std::size_t kPatchSlack = 64;

/// Bytes for gemm_int8, of one map.
///
/// gather_patches: row r holds, for each tap in (ky, kx) order, the channels of the input pixel
/// under it as x + bias, and `padding` where the tap lies outside. Every row of the window
/// starts at a group of kQuad.
///
/// pad_map: all pixels under any window, in lines, as x + bias and `padding` outside. The map
/// is dense (in_stride == channels) and the window is not dilated.
struct PatchArgs {
  int in_height = 0, in_width = 0, out_height = 0, out_width = 0;
  int kernel_h = 0, kernel_w = 0, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0;
  int dilation_h = 1, dilation_w = 1;
  int channels = 0;
  std::ptrdiff_t in_stride = 0;  ///< bytes between two pixels
  const std::int8_t* x = nullptr;
  int bias = 0;
  std::uint8_t padding = 0;  ///< zero point + bias, as a byte
  int first = 0;             ///< output pixels [first, first + rows)
  int rows = 0;
  std::uint8_t* out = nullptr;  ///< with kPatchSlack writable bytes behind the last row
  std::ptrdiff_t out_row = 0;   ///< bytes between two rows; content behind the taps is unspecified

  /// Quads of a row of the window.
  [[nodiscard]] int quads() const { return quads_of(kernel_w * channels); }
  /// Lines and bytes of a line that pad_map writes.
  [[nodiscard]] int lines() const { return (out_height - 1) * stride_h + kernel_h; }
  [[nodiscard]] std::ptrdiff_t line_bytes() const {
    return std::ptrdiff_t{(out_width - 1) * stride_w + kernel_w} * channels;
  }
};

/// int8 in, int8 out: accumulators sum_k (a - zero) * b stay in registers and are requantised
/// there.
///
/// Row r of line l of a begins at a + l * a_line + r * a_row and consists of `segments` runs of
/// `quads` quads of x + gemm_bias(quads) each, a_segment bytes apart. Rows of outputs follow one
/// another, line after line. Kernels that sum up less than a quad at a time take one segment of one
/// line.
struct Int8GemmArgs {
  RequantizeArgs requantize;        ///< rows of a line, channels and everything behind; no acc
  const std::uint8_t* a = nullptr;  ///< with slack
  std::ptrdiff_t a_row = 0;
  int lines = 1;
  std::ptrdiff_t a_line = 0;
  int segments = 1;
  std::ptrdiff_t a_segment = 0;
  int quads = 0;                       ///< products of a segment / kQuad, rounded up
  const std::int8_t* b = nullptr;      ///< [panel][segment][quad][kPanel][kQuad], then zeros
  const std::int32_t* sums = nullptr;  ///< sum_k b, by output channel, padded like b
  int real_channels = INT_MAX;         ///< those behind have weights, bias and multiplier 0
  int zero = 0;                        ///< zero point of x, plus gemm_bias(quads)
  std::uint8_t* scratch = nullptr;     ///< scratch_bytes(int8_group) of the table, on a cache line

  /// The rows of a, widened to 16 bits.
  [[nodiscard]] std::size_t wide_rows_bytes() const {
    const auto bytes =
        static_cast<std::size_t>(requantize.rows) * static_cast<std::size_t>(quads) * 2 * kQuad;
    return (bytes + 2 * kPatchSlack - 1) / kPatchSlack * kPatchSlack;
  }
  /// For kernels that sum up `group` products at a time: nothing, or both operands in 16 bits.
  [[nodiscard]] std::size_t scratch_bytes(int group) const {
    if (group == kQuad) return 0;
    return wide_rows_bytes() + static_cast<std::size_t>(quads) * 2 * kQuad * kPanel;
  }
};

/// A depthwise convolution, int8 in and out.
struct Int8DepthwiseArgs {
  DepthwiseArgs shape;        ///< its geometry; pointers are not read
  RequantizeArgs requantize;  ///< as in Int8GemmArgs; out and mask of the first sample
  int samples = 1;
  std::ptrdiff_t in_size = 0;            ///< bytes from one sample to the next
  std::ptrdiff_t out_size = 0;           ///< likewise
  const std::int8_t* x = nullptr;        ///< [sample][in_height][in_width][channels]
  const std::int8_t* weights = nullptr;  ///< [channel / 16][kernel_h][quads of a row][16][kQuad]
  const std::int32_t* sums = nullptr;
  int zero = 0;                     ///< zero point of x
  std::uint8_t* scratch = nullptr;  ///< scratch_bytes(), on a cache line

  /// Weights of a filter row / kQuad, rounded up.
  [[nodiscard]] int quads() const { return quads_of(shape.kernel_w); }
  /// Groups of neighbouring pixels that one input row is unrolled to, at most.
  [[nodiscard]] int groups() const {
    return (shape.out_width - 1) * shape.stride_w + shape.kernel_w + kQuad;
  }
  /// Unrolled input rows that are kept at a time: those of one row of outputs, or of as many as fit
  /// the first-level cache.
  [[nodiscard]] int ring_rows(std::ptrdiff_t row_bytes) const {
    constexpr int kBytes = 16384;
    const int fit = kBytes / static_cast<int>(row_bytes);
    const int all = shape.kernel_h + (shape.out_height - 1) * shape.stride_h;
    return max_int(shape.kernel_h, min_int(fit, all));
  }
  /// Such rows of 64 channels, one of padding, and of 16 channels the rows before they are
  /// unrolled.
  [[nodiscard]] std::size_t scratch_bytes() const {
    const std::ptrdiff_t row = std::ptrdiff_t{groups()} * kLanes * kQuad;
    const auto rows = static_cast<std::size_t>(ring_rows(row));
    return static_cast<std::size_t>(row) * (4 * rows + 4);
  }
};

/// One implementation of every vector kernel.
struct KernelTable {
  std::string_view name;
  /// C float, overwritten or added to.
  void (*gemm)(const GemmArgs&, bool accumulate);
  /// C float: sum_k in one chain of increasing k whose products and sums are rounded one by one,
  /// from zero or, to go on, from what C holds.
  void (*gemm_unfused)(const GemmArgs&, bool go_on);
  /// C int32, overwritten; exact for integer A and B whose products fit 24 bits.
  void (*gemm_integer)(const GemmArgs&);
  void (*requantize)(const RequantizeArgs&);
  /// out[i] = in[i] - zero_point.
  void (*widen)(const std::int8_t* in, int zero_point, std::size_t count, float* out);
  void (*depthwise_forward)(const DepthwiseArgs&);
  void (*depthwise_input_gradient)(const DepthwiseArgs&);
  void (*depthwise_weight_gradient)(const DepthwiseArgs&);
  /// The same chains, products and sums rounded one by one.
  void (*depthwise_input_gradient_unfused)(const DepthwiseArgs&);
  void (*depthwise_weight_gradient_unfused)(const DepthwiseArgs&);
  /// g[row][c] = mask ? g[row][c] * scale[c] : 0, and sum[c] += over rows of g, when sum is given.
  void (*mask_scale)(float* g, const std::uint8_t* mask, const float* scale, int rows, int channels,
                     float* sum);
  /// dx[i] (+)= mask[i] ? dy[i] * factor : 0; count is a multiple of kLanes.
  void (*mask_factor)(const float* dy, const std::uint8_t* mask, float factor, std::size_t count,
                      float* dx, bool accumulate);
  void (*rescale)(const RescaleArgs&);

  // The int8 forward pass, null where products of floats are as fast. It has the bits of
  // widen, gemm_integer and requantize, for weights in -128..127 and kMaxInt8Products at most.
  int int8_group;  ///< products that one step sums up for an accumulator: kQuad, or 2 of 16 bits
  /// What gemm_int8 wants added to activations, 0 or 128, by the quads of a segment.
  int (*gemm_bias)(int quads);
  void (*gather_patches)(const PatchArgs&);
  void (*pad_map)(const PatchArgs&);
  void (*gemm_int8)(const Int8GemmArgs&);
  void (*depthwise_int8)(const Int8DepthwiseArgs&);
};

/// The fastest implementation this machine runs. The environment variable ESPALIER_ISA
/// picks a slower one: `portable`; on x86-64 `avx2`, `avxvnni`, `avx512`, `avx512vnni`,
/// `avx512amx`; on 64-bit Arm `neon`, `neondot`.
const KernelTable& kernels();

/// Replaces what kernels() returns, for tests that compare implementations.
void use_kernels(const KernelTable& table);

/// All implementations that this machine runs, portable first.
struct KernelTables {
  const KernelTable* tables[6] = {};
  int count = 0;
};
KernelTables all_kernels();

}  // namespace espalier::kernels
