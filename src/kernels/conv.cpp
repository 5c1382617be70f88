#include "espalier/kernels/conv.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {
namespace {

// Output pixels per tile: the tile's patches and accumulators stay in the second-level cache, and
// the weight gradient's blocks of kGemmDepth rows never straddle two tiles.
constexpr int kTileRows = kGemmDepth;

std::size_t panels(int columns) {
  return static_cast<std::size_t>((padded(columns) + kPanel - 1) / kPanel);
}
std::size_t packed_size(int depth, int columns) {
  return panels(columns) * kPanel * static_cast<std::size_t>(depth);
}

// Copies a depth x columns matrix, element (k, n) = source(k, n), into panels.
template <typename Source>
void pack_panels(int depth, int columns, float* out, Source source) {
  const std::ptrdiff_t panel_size = std::ptrdiff_t{depth} * kPanel;
  for (int n = 0; n < columns; ++n) {
    float* column = out + (n / kPanel) * panel_size + n % kPanel;
    for (int k = 0; k < depth; ++k) column[std::ptrdiff_t{k} * kPanel] = source(k, n);
  }
}

// One selected range of input channels, as gathered by patches().
struct ChannelRange {
  int first = 0;
  int count = 0;
  std::span<const int> listed;  // instead of first..first+count-1, when not empty

  [[nodiscard]] int size() const {
    return listed.empty() ? count : static_cast<int>(listed.size());
  }
};

// Rows [first, first + rows) of the patch matrix of one sample: row = output pixel, column =
// (ky, kx, channel), value x - zero_point, 0 in the padding. Row stride is padded(columns); the
// columns up to there are zero.
void patches(const ConvGeometry& g, const std::int8_t* x, int zero_point, ChannelRange range,
             int first, int rows, float* out) {
  const int channels = range.size();
  const int columns = g.taps() * channels;
  const int stride = padded(columns);
  for (int r = 0; r < rows; ++r) {
    const int oy = (first + r) / g.out.width;
    const int ox = (first + r) % g.out.width;
    float* row = out + std::ptrdiff_t{r} * stride;
    for (int ky = 0; ky < g.window.kernel_h; ++ky) {
      const int y = oy * g.window.stride_h - g.window.pad_top + ky * g.window.dilation_h;
      for (int kx = 0; kx < g.window.kernel_w; ++kx, row += channels) {
        const int column = ox * g.window.stride_w - g.window.pad_left + kx * g.window.dilation_w;
        if (y < 0 || y >= g.in.height || column < 0 || column >= g.in.width) {
          std::fill(row, row + channels, 0.0F);
          continue;
        }
        const std::int8_t* pixel = x + (std::ptrdiff_t{y} * g.in.width + column) * g.in_stride;
        if (range.listed.empty()) {
          for (int c = 0; c < channels; ++c) {
            row[c] = static_cast<float>(pixel[range.first + c] - zero_point);
          }
        } else {
          for (int c = 0; c < channels; ++c) {
            row[c] =
                static_cast<float>(pixel[range.listed[static_cast<std::size_t>(c)]] - zero_point);
          }
        }
      }
    }
    std::fill(row, row + (stride - columns), 0.0F);
  }
}

// The same for all channels, still as int8: padding and the columns behind the last are the zero
// point, so that widening the rows gives patches(). `out` has kPatchSlack bytes behind its rows.
void byte_patches(const ConvGeometry& g, const std::int8_t* x, int zero_point, int first, int rows,
                  std::int8_t* out) {
  const int channels = g.in.channels;
  const int columns = g.taps() * channels;
  const int stride = padded(columns);
  const int width = g.window.kernel_w;
  const std::ptrdiff_t run = std::ptrdiff_t{width} * channels;
  const std::int8_t* end = x + g.in.pixels() * g.in_stride;
  const int zero = zero_point;
  int oy = first / g.out.width;
  int ox = first % g.out.width;
  for (int r = 0; r < rows; ++r) {
    std::int8_t* row = out + std::ptrdiff_t{r} * stride;
    const int x0 = ox * g.window.stride_w - g.window.pad_left;
    const bool whole =
        g.in_stride == channels && g.window.dilation_w == 1 && x0 >= 0 && x0 + width <= g.in.width;
    for (int ky = 0; ky < g.window.kernel_h; ++ky, row += run) {
      const int y = oy * g.window.stride_h - g.window.pad_top + ky * g.window.dilation_h;
      if (y < 0 || y >= g.in.height) {
        std::memset(row, zero, static_cast<std::size_t>(run));
        continue;
      }
      const std::int8_t* line = x + std::ptrdiff_t{y} * g.in.width * g.in_stride;
      constexpr std::ptrdiff_t kShort = 16;
      if (whole && run <= kShort && end - (line + x0 * g.in_stride) >= kShort) {
        // One move; what is too much is overwritten by what comes next.
        std::memcpy(row, line + x0 * g.in_stride, kShort);
        continue;
      }
      for (int kx = 0; kx < width; ++kx) {
        const int column = x0 + kx * g.window.dilation_w;
        std::int8_t* pixel = row + std::ptrdiff_t{kx} * channels;
        if (column < 0 || column >= g.in.width) {
          std::memset(pixel, zero, static_cast<std::size_t>(channels));
        } else {
          std::memcpy(pixel, line + std::ptrdiff_t{column} * g.in_stride,
                      static_cast<std::size_t>(channels));
        }
      }
    }
    std::memset(row, zero, static_cast<std::size_t>(stride - columns));
    if (++ox == g.out.width) {
      ox = 0;
      ++oy;
    }
  }
}

DepthwiseArgs depthwise_args(const ConvGeometry& g) {
  DepthwiseArgs args;
  args.in_height = g.in.height;
  args.in_width = g.in.width;
  args.out_height = g.out.height;
  args.out_width = g.out.width;
  args.kernel_h = g.window.kernel_h;
  args.kernel_w = g.window.kernel_w;
  args.stride_h = g.window.stride_h;
  args.stride_w = g.window.stride_w;
  args.pad_top = g.window.pad_top;
  args.pad_left = g.window.pad_left;
  args.channels = g.out_stride;
  return args;
}

RequantizeArgs requantize_args(const Requantization& q, Lifted lifted) {
  RequantizeArgs args;
  args.bias = q.bias.data();
  args.multiplier = q.multiplier.data();
  args.shift = q.shift.data();
  args.zero_point = q.zero_point;
  args.low = q.low;
  args.high = q.high;
  args.lift = lifted.out ? kLift : 0;
  return args;
}

// Columns `listed` of a map; those behind, up to a multiple of kLanes, are `rest`.
template <typename T>
void gather_columns(const T* in, int pixels, int stride, std::span<const int> listed, T rest,
                    T* out) {
  const int* columns = listed.data();
  const int count = static_cast<int>(listed.size());
  const int out_stride = padded(count);
  for (int p = 0; p < pixels; ++p, in += stride, out += out_stride) {
    for (int c = 0; c < count; ++c) out[c] = in[columns[c]];
    std::fill(out + count, out + out_stride, rest);
  }
}

// The same of bytes, as floats around the zero point.
void widen_columns(const std::int8_t* in, int pixels, int stride, std::span<const int> listed,
                   int zero_point, float* out, ConvScratch& scratch) {
  const std::size_t size = static_cast<std::size_t>(pixels) *
                           static_cast<std::size_t>(padded(static_cast<int>(listed.size())));
  auto* bytes = reinterpret_cast<std::int8_t*>(at_least(scratch.bytes_in, size));
  gather_columns(in, pixels, stride, listed, static_cast<std::int8_t>(zero_point), bytes);
  kernels().widen(bytes, zero_point, size, out);
}

}  // namespace

bool ConvGeometry::direct_gemm() const {
  return taps() == 1 && window.stride_h == 1 && window.stride_w == 1 && groups == 1 &&
         in_stride == padded(in.channels);
}

bool ConvGeometry::direct_depthwise() const {
  return groups > 1 && groups == in.channels && groups == out.channels &&
         in_stride == padded(in.channels) && taps() <= kGemmDepth && !window.dilated();
}

std::size_t ConvScratch::bytes() const {
  return (patches.capacity() + columns.capacity() + gradient.capacity()) * sizeof(float) +
         acc.capacity() * sizeof(std::int32_t) + bytes_in.capacity() + words.capacity();
}

namespace {

// How many int8 add up to any of the weights: training may push some out of int8.
int int8_parts(std::span<const float> weights) {
  float least = 0.0F;
  float most = 0.0F;
  for (const float w : weights) {
    least = std::min(least, w);
    most = std::max(most, w);
  }
  const float parts = std::max(std::ceil(least / -128.0F), std::ceil(most / 127.0F));
  return static_cast<int>(std::clamp(parts, 1.0F, 1000.0F));
}

// Weights as the int8 kernels read them.
void pack_int8(const ConvGeometry& g, std::span<const float> weights, PackedWeights& all) {
  AlignedVector<std::int8_t>& packed = all.int8_forward;
  AlignedVector<std::int32_t>& sums = all.int8_sums;
  AlignedVector<std::int32_t>& reach = all.int8_reach;
  packed.clear();
  sums.clear();
  reach.clear();
  // With more parts products of floats are as fast.
  constexpr int kMostParts = 4;
  all.int8_parts = int8_parts(weights);
  const int fan_in = g.fan_in();
  if (all.int8_parts > (g.groups > 1 ? 1 : kMostParts) ||
      fan_in * all.int8_parts > kMaxInt8Products || (g.groups > 1 && !g.direct_depthwise())) {
    return;
  }
  const auto width = static_cast<std::ptrdiff_t>(g.direct_depthwise() ? kLanes : kPanel);
  // Every row of the window starts at a group of kQuad.
  const int run = g.window.kernel_w * g.in_per_group();
  const std::ptrdiff_t quads = quads_of(run);
  const std::ptrdiff_t part = width * kQuad * quads * g.window.kernel_h;
  const std::ptrdiff_t panel = part * all.int8_parts;
  packed.assign(static_cast<std::size_t>((g.out_stride + width - 1) / width * panel), 0);
  sums.assign(static_cast<std::size_t>((g.out_stride + width - 1) / width * width), 0);
  reach.assign(sums.size(), 0);
  for (int c = 0; c < g.out.channels; ++c) {
    std::int8_t* column = packed.data() + c / width * panel + c % width * kQuad;
    const float* source = weights.data() + std::ptrdiff_t{c} * fan_in;
    std::int32_t sum = 0;
    std::int32_t magnitude = 0;
    for (int k = 0; k < fan_in; ++k) {
      const std::ptrdiff_t quad = k / run * quads + k % run / kQuad;
      auto w = static_cast<std::int32_t>(source[k]);
      sum += w;
      magnitude += std::abs(w);
      std::int8_t* at = column + quad * width * kQuad + k % run % kQuad;
      for (int i = 0; i < all.int8_parts; ++i, at += part) {
        *at = static_cast<std::int8_t>(std::clamp(w, -128, 127));
        w -= *at;
      }
    }
    sums[static_cast<std::size_t>(c)] = sum;
    reach[static_cast<std::size_t>(c)] = kMostInput * magnitude;
  }
}

// Whether accumulators stay below 2^29, with room for what large sums round.
bool bounded_sums(const ConvGeometry& g, std::span<const float> weights) {
  constexpr double kMost = static_cast<double>(1 << 28) / kMostInput;
  const auto fan_in = static_cast<std::size_t>(g.fan_in());
  for (int c = 0; c < g.out.channels; ++c) {
    double sum = 0.0;
    for (const float w : weights.subspan(static_cast<std::size_t>(c) * fan_in, fan_in)) {
      sum += std::abs(w);
    }
    if (sum > kMost) return false;
  }
  return true;
}

}  // namespace

void PackedWeights::pack(const ConvGeometry& g, std::span<const float> weights,
                         bool with_input_gradient) {
  const int fan_in = g.fan_in();
  pack_int8(g, weights, *this);
  bounded = (!int8_forward.empty() && int8_parts == 1) || bounded_sums(g, weights);
  if (g.direct_depthwise()) {
    forward.assign(static_cast<std::size_t>(g.taps() * g.out_stride), 0.0F);
    for (int c = 0; c < g.out.channels; ++c) {
      for (int t = 0; t < g.taps(); ++t) {
        forward[static_cast<std::size_t>(t * g.out_stride + c)] =
            weights[static_cast<std::size_t>(c * fan_in + t)];
      }
    }
    return;
  }
  const int out = g.out_per_group();
  forward.assign(packed_size(fan_in, out) * g.groups, 0.0F);
  if (with_input_gradient) input_gradient.assign(packed_size(out, fan_in) * g.groups, 0.0F);
  for (int group = 0; group < g.groups; ++group) {
    const float* source = weights.data() + std::ptrdiff_t{group} * out * fan_in;
    pack_panels(fan_in, out, forward.data() + packed_size(fan_in, out) * group,
                [&](int k, int n) { return source[std::ptrdiff_t{n} * fan_in + k]; });
    if (!with_input_gradient) continue;
    pack_panels(out, fan_in, input_gradient.data() + packed_size(out, fan_in) * group,
                [&](int k, int n) { return source[std::ptrdiff_t{k} * fan_in + n]; });
  }
}

Requantization make_requantization(const ir::Graph& graph, const ir::Op& op) {
  const auto& conv = std::get<ir::Conv2D>(op.params);
  const ir::Quantization in = graph.tensor(op.inputs[0]).quantization;
  const ir::Quantization out = graph.tensor(op.output).quantization;
  const auto stride = static_cast<std::size_t>(padded(conv.out_channels));
  Requantization q;
  q.bias.assign(stride, 0);
  q.multiplier.assign(stride, 0);
  q.shift.assign(stride, 31);
  q.factor.assign(stride, 0.0F);
  for (std::size_t c = 0; c < conv.bias.size(); ++c) {
    const double factor =
        static_cast<double>(in.scale) * conv.weight_scales[c] / static_cast<double>(out.scale);
    const ir::FixedPoint fixed = ir::make_fixed_point(factor);
    q.bias[c] = conv.bias[c];
    q.multiplier[c] = fixed.multiplier;
    q.shift[c] = fixed.shift;
    q.factor[c] = static_cast<float>(factor);
  }
  q.zero_point = out.zero_point;
  q.low = op.clamp_low;
  q.high = op.clamp_high;
  return q;
}

namespace {

// The forward pass in int8 from end to end.
struct Int8Forward {
  const KernelTable& table;
  const ConvGeometry& g;
  int samples;
  const std::int8_t* x;
  int zero_point;
  const PackedWeights& weights;
  const Requantization& requantization;
  std::int8_t* y;
  std::uint8_t* mask;
  ConvScratch& scratch;
  Lifted lifted;

  [[nodiscard]] std::ptrdiff_t in_size() const { return g.in.pixels() * g.in_stride; }
  [[nodiscard]] std::ptrdiff_t out_size() const { return g.out.pixels() * g.out_stride; }

  void run() const {
    if (g.direct_depthwise()) {
      depthwise();
    } else if (has_windows()) {
      windows();
    } else {
      gemm_of_rows();
    }
  }

  // Arguments are changed in place: copies of whole structs wait for what was just stored.
  void prepare(RequantizeArgs& args) const {
    args = requantize_args(requantization, lifted);
    args.bounded = true;
    args.reach = weights.int8_reach.data();
    args.channels = g.out_stride;
    args.out_row = g.out_stride;
  }
  void place(RequantizeArgs& args, std::ptrdiff_t at) const {
    args.out = y + at;
    args.mask = mask == nullptr ? nullptr : mask + at;
  }

  // Both operands of a GEMM whose segments have so many quads.
  void prepare(int quads, PatchArgs& patch, Int8GemmArgs& gemm) const {
    patch.in_height = g.in.height;
    patch.in_width = g.in.width;
    patch.out_height = g.out.height;
    patch.out_width = g.out.width;
    patch.kernel_h = g.window.kernel_h;
    patch.kernel_w = g.window.kernel_w;
    patch.stride_h = g.window.stride_h;
    patch.stride_w = g.window.stride_w;
    patch.pad_top = g.window.pad_top;
    patch.pad_left = g.window.pad_left;
    patch.dilation_h = g.window.dilation_h;
    patch.dilation_w = g.window.dilation_w;
    patch.channels = g.in.channels;
    patch.in_stride = g.in_stride;
    const int bias = table.gemm_bias(quads);
    patch.bias = lifted.in ? 0 : bias;
    prepare(gemm.requantize);
    gemm.b = weights.int8_forward.data();
    gemm.sums = weights.int8_sums.data();
    gemm.quads = quads;
    gemm.real_channels = g.out.channels;
    gemm.zero = zero_point + bias;
    patch.padding = static_cast<std::uint8_t>(gemm.zero);
  }
  [[nodiscard]] int quads_of_row() const { return quads_of(g.window.kernel_w * g.in_per_group()); }

  void depthwise() const {
    Int8DepthwiseArgs args;
    args.shape = depthwise_args(g);
    args.weights = weights.int8_forward.data();
    args.sums = weights.int8_sums.data();
    args.zero = zero_point;
    args.scratch = at_least(scratch.bytes_in, args.scratch_bytes());
    args.samples = samples;
    args.in_size = in_size();
    args.out_size = out_size();
    args.x = x;
    prepare(args.requantize);
    place(args.requantize, 0);
    table.depthwise_int8(args);
  }

  // Windows over a dense map need no patches: their rows lie in it side by side. They are what
  // segments are for, so that parts of weights have none left.
  [[nodiscard]] bool has_windows() const {
    return g.taps() > 1 && g.in_stride == g.in.channels && !g.window.dilated() &&
           table.int8_group == kQuad && weights.int8_parts == 1;
  }
  void windows() const {
    PatchArgs patch;
    Int8GemmArgs gemm;
    prepare(quads_of_row(), patch, gemm);
    patch.out_row = patch.line_bytes();
    patch.out = at_least(scratch.bytes_in,
                         static_cast<std::size_t>(patch.out_row * patch.lines()) + kPatchSlack);
    gemm.a = patch.out;
    gemm.a_row = std::ptrdiff_t{g.window.stride_w} * g.in.channels;
    gemm.lines = g.out.height;
    gemm.a_line = g.window.stride_h * patch.out_row;
    gemm.segments = g.window.kernel_h;
    gemm.a_segment = patch.out_row;
    gemm.requantize.rows = g.out.width;
    for (int s = 0; s < samples; ++s) {
      patch.x = x + s * in_size();
      table.pad_map(patch);
      place(gemm.requantize, s * out_size());
      table.gemm_int8(gemm);
    }
  }

  // On the map itself, which all samples make one long map, or on patches, sample by sample.
  void gemm_of_rows() const {
    const bool direct = g.direct_gemm();
    const int out_pixels = static_cast<int>(g.out.pixels());
    const int maps = direct ? 1 : samples;
    const int rows_per_map = direct ? out_pixels * samples : out_pixels;
    PatchArgs patch;
    Int8GemmArgs gemm;
    prepare(g.window.kernel_h * quads_of_row(), patch, gemm);
    const bool in_place = direct && patch.bias == 0 && table.int8_group == kQuad;
    gemm.segments = weights.int8_parts;  // of weights, each for the same activations
    gemm.a_row = direct ? g.in_stride : std::ptrdiff_t{gemm.quads} * kQuad;
    // As many rows as stay in the first-level cache, whose every block of columns reads them again.
    constexpr std::ptrdiff_t kTileBytes = 32768;
    const std::ptrdiff_t row_bytes = in_place ? gemm.a_row : 2 * (gemm.a_row + g.out_stride);
    const int tile_rows =
        std::min(std::max(kTileRows, static_cast<int>(kTileBytes / row_bytes / kLanes) * kLanes),
                 rows_per_map);
    patch.out_row = gemm.a_row;
    if (!in_place) {
      patch.out = at_least(scratch.bytes_in,
                           static_cast<std::size_t>(tile_rows * gemm.a_row) + kPatchSlack);
    }
    gemm.a = patch.out;
    gemm.requantize.rows = tile_rows;
    gemm.scratch = at_least(scratch.words, gemm.scratch_bytes(table.int8_group));
    for (int map = 0; map < maps; ++map) {
      patch.x = x + map * in_size();
      for (int first = 0; first < rows_per_map; first += tile_rows) {
        patch.first = first;
        patch.rows = std::min(tile_rows, rows_per_map - first);
        if (in_place) {
          gemm.a = reinterpret_cast<const std::uint8_t*>(x) + first * gemm.a_row;
        } else {
          table.gather_patches(patch);
        }
        gemm.requantize.rows = patch.rows;
        place(gemm.requantize, map * out_size() + std::ptrdiff_t{first} * g.out_stride);
        table.gemm_int8(gemm);
      }
    }
  }
};

bool in_int8(const KernelTable& table, const PackedWeights& weights) {
  return table.gemm_int8 != nullptr && !weights.int8_forward.empty() &&
         (weights.int8_parts == 1 || table.int8_group == kQuad);
}

}  // namespace

bool reads_lifted(const ConvGeometry& g, const PackedWeights& weights) {
  const KernelTable& table = kernels();
  return g.direct_gemm() && in_int8(table, weights) && table.int8_group == kQuad &&
         table.gemm_bias(quads_of(g.in.channels)) != 0;
}

void conv_forward(const ConvGeometry& g, int samples, const std::int8_t* x, int zero_point,
                  const PackedWeights& weights, const Requantization& requantization,
                  std::int8_t* y, std::uint8_t* mask, ConvScratch& scratch, Lifted lifted) {
  const KernelTable& table = kernels();
  if (in_int8(table, weights)) {
    Int8Forward{table, g, samples, x, zero_point, weights, requantization, y, mask, scratch, lifted}
        .run();
    return;
  }
  RequantizeArgs requantize = requantize_args(requantization, lifted);
  requantize.bounded = weights.bounded;
  requantize.channels = g.out_stride;
  requantize.out_row = g.out_stride;
  requantize.acc_row = g.out_stride;
  const int out_pixels = static_cast<int>(g.out.pixels());
  const std::ptrdiff_t in_size = g.in.pixels() * g.in_stride;
  const std::ptrdiff_t out_size = std::ptrdiff_t{out_pixels} * g.out_stride;

  if (g.direct_depthwise()) {
    DepthwiseArgs args = depthwise_args(g);
    float* wide = at_least(scratch.patches, static_cast<std::size_t>(in_size));
    args.x = wide;
    args.weights = weights.forward.data();
    args.acc = at_least(scratch.acc, static_cast<std::size_t>(out_size));
    requantize.rows = out_pixels;
    requantize.acc = args.acc;
    for (int s = 0; s < samples; ++s) {
      table.widen(x + s * in_size, zero_point, static_cast<std::size_t>(in_size), wide);
      table.depthwise_forward(args);
      requantize.out = y + s * out_size;
      requantize.mask = mask == nullptr ? nullptr : mask + s * out_size;
      table.requantize(requantize);
    }
    return;
  }

  // Direct GEMMs see all samples as one long map; others go sample by sample.
  const bool direct = g.direct_gemm();
  const int maps = direct ? 1 : samples;
  const int rows_per_map = direct ? out_pixels * samples : out_pixels;
  const int out = g.out_per_group();
  const int group_stride = padded(out);
  float* rows_buffer = at_least(
      scratch.patches, static_cast<std::size_t>(kTileRows) *
                           static_cast<std::size_t>(std::max(padded(g.fan_in()), g.in_stride)));
  std::int32_t* acc =
      at_least(scratch.acc, static_cast<std::size_t>(kTileRows) *
                                static_cast<std::size_t>(g.out_stride + group_stride));
  std::int32_t* group_acc = acc + std::ptrdiff_t{kTileRows} * g.out_stride;
  if (g.groups > 1) std::fill(acc, group_acc, 0);
  requantize.acc = acc;

  for (int map = 0; map < maps; ++map) {
    for (int first = 0; first < rows_per_map; first += kTileRows) {
      const int rows = std::min(kTileRows, rows_per_map - first);
      GemmArgs gemm;
      gemm.m = rows;
      gemm.n = group_stride;
      gemm.k = g.fan_in();
      gemm.a = rows_buffer;
      gemm.a_row = direct ? g.in_stride : padded(g.fan_in());
      gemm.b_panel = std::ptrdiff_t{gemm.k} * kPanel;
      for (int group = 0; group < g.groups; ++group) {
        if (direct) {
          table.widen(x + std::ptrdiff_t{first} * g.in_stride, zero_point,
                      static_cast<std::size_t>(rows) * static_cast<std::size_t>(g.in_stride),
                      rows_buffer);
        } else if (g.groups == 1) {
          const std::size_t size =
              static_cast<std::size_t>(rows) * static_cast<std::size_t>(padded(g.fan_in()));
          std::uint8_t* buffer = at_least(scratch.bytes_in, size + kPatchSlack);
          auto* bytes = reinterpret_cast<std::int8_t*>(buffer);
          byte_patches(g, x + map * in_size, zero_point, first, rows, bytes);
          table.widen(bytes, zero_point, size, rows_buffer);
        } else {
          patches(g, x + map * in_size, zero_point,
                  {group * g.in_per_group(), g.in_per_group(), {}}, first, rows, rows_buffer);
        }
        gemm.b = weights.forward.data() + packed_size(gemm.k, out) * group;
        gemm.c = g.groups == 1 ? acc : group_acc;
        gemm.c_row = g.groups == 1 ? g.out_stride : group_stride;
        table.gemm_integer(gemm);
        if (g.groups == 1) break;
        for (int r = 0; r < rows; ++r) {
          std::copy_n(group_acc + std::ptrdiff_t{r} * group_stride, out,
                      acc + std::ptrdiff_t{r} * g.out_stride + group * out);
        }
      }
      const std::ptrdiff_t at = map * out_size + std::ptrdiff_t{first} * g.out_stride;
      requantize.rows = rows;
      requantize.out = y + at;
      requantize.mask = mask == nullptr ? nullptr : mask + at;
      table.requantize(requantize);
    }
  }
}

void conv_backward_input(const ConvGeometry& g, int samples, const float* gradient,
                         const PackedWeights& weights, float* dx, bool accumulate,
                         ConvScratch& scratch) {
  const KernelTable& table = kernels();
  const int out_pixels = static_cast<int>(g.out.pixels());
  const std::ptrdiff_t in_size = g.in.pixels() * g.in_stride;
  const std::ptrdiff_t out_size = std::ptrdiff_t{out_pixels} * g.out_stride;

  if (g.direct_depthwise()) {
    DepthwiseArgs args = depthwise_args(g);
    args.weights = weights.forward.data();
    args.accumulate = accumulate;
    for (int s = 0; s < samples; ++s) {
      args.g = gradient + s * out_size;
      args.dx = dx + s * in_size;
      table.depthwise_input_gradient(args);
    }
    return;
  }

  const int out = g.out_per_group();
  const int fan_in = g.fan_in();
  GemmArgs gemm;
  gemm.k = out;
  gemm.n = padded(fan_in);
  gemm.a_row = g.out_stride;
  gemm.b_panel = std::ptrdiff_t{out} * kPanel;
  if (g.direct_gemm()) {
    gemm.m = out_pixels * samples;
    gemm.a = gradient;
    gemm.b = weights.input_gradient.data();
    gemm.c = dx;
    gemm.c_row = g.in_stride;
    table.gemm(gemm, accumulate);
    return;
  }

  // Patch gradients, scattered back in the order of output pixels.
  if (!accumulate) std::fill(dx, dx + samples * in_size, 0.0F);
  const int stride = padded(fan_in);
  float* columns = at_least(scratch.columns,
                            static_cast<std::size_t>(kTileRows) * static_cast<std::size_t>(stride));
  gemm.c = columns;
  gemm.c_row = stride;
  const int channels = g.in_per_group();
  for (int s = 0; s < samples; ++s) {
    for (int first = 0; first < out_pixels; first += kTileRows) {
      gemm.m = std::min(kTileRows, out_pixels - first);
      for (int group = 0; group < g.groups; ++group) {
        gemm.a = gradient + s * out_size + std::ptrdiff_t{first} * g.out_stride + group * out;
        gemm.b = weights.input_gradient.data() + packed_size(out, fan_in) * group;
        table.gemm(gemm, false);
        for (int r = 0; r < gemm.m; ++r) {
          const int oy = (first + r) / g.out.width;
          const int ox = (first + r) % g.out.width;
          const float* tap = columns + std::ptrdiff_t{r} * stride;
          for (int ky = 0; ky < g.window.kernel_h; ++ky) {
            const int y = oy * g.window.stride_h - g.window.pad_top + ky * g.window.dilation_h;
            for (int kx = 0; kx < g.window.kernel_w; ++kx, tap += channels) {
              const int column =
                  ox * g.window.stride_w - g.window.pad_left + kx * g.window.dilation_w;
              if (y < 0 || y >= g.in.height || column < 0 || column >= g.in.width) continue;
              float* pixel = dx + s * in_size +
                             (std::ptrdiff_t{y} * g.in.width + column) * g.in_stride +
                             group * channels;
              for (int c = 0; c < channels; ++c) pixel[c] += tap[c];
            }
          }
        }
      }
    }
  }
}

WeightGradientLayout::WeightGradientLayout(const ConvGeometry& g, std::span<const int> channels) {
  const int taps = g.taps();
  const int per_group = g.in_per_group();
  const int out = g.out_per_group();
  const auto entry = [&](int gradient, int out_channel, int tap, int in_group_channel) {
    entries_.push_back(
        {static_cast<std::uint32_t>(gradient),
         static_cast<std::uint32_t>((out_channel * taps + tap) * per_group + in_group_channel),
         static_cast<std::uint32_t>(out_channel)});
  };
  const bool all = static_cast<int>(channels.size()) == g.in.channels;
  const int count = static_cast<int>(channels.size());
  if (g.direct_depthwise()) {
    if (!all) gathered_.assign(channels.begin(), channels.end());
    stride_ = padded(count);
    size_ = static_cast<std::size_t>(taps * stride_);
    for (int i = 0; i < count; ++i) {
      for (int t = 0; t < taps; ++t) {
        entry(t * stride_ + i, channels[static_cast<std::size_t>(i)], t, 0);
      }
    }
    return;
  }
  const bool gather = g.groups == 1 && !all;
  if (gather) gathered_.assign(channels.begin(), channels.end());
  const int held = gather ? count : per_group;
  stride_ = padded(taps * held);
  size_ = static_cast<std::size_t>(g.out.channels) * static_cast<std::size_t>(stride_);
  for (int o = 0; o < g.out.channels; ++o) {
    for (int t = 0; t < taps; ++t) {
      for (int i = 0; i < count; ++i) {
        const int channel = channels[static_cast<std::size_t>(i)];
        if (channel / per_group != o / out) continue;
        const int in_group = channel % per_group;
        entry(o * stride_ + t * held + (gather ? i : in_group), o, t, in_group);
      }
    }
  }
}

void conv_backward_weights(const ConvGeometry& g, const WeightGradientLayout& layout, int samples,
                           const std::int8_t* x, int zero_point, const float* gradient, float* dw,
                           ConvScratch& scratch) {
  const KernelTable& table = kernels();
  const int in_pixels = static_cast<int>(g.in.pixels());
  const int out_pixels = static_cast<int>(g.out.pixels());
  const std::ptrdiff_t in_size = std::ptrdiff_t{in_pixels} * g.in_stride;
  const std::ptrdiff_t out_size = std::ptrdiff_t{out_pixels} * g.out_stride;
  const std::span<const int> listed = layout.gathered();

  if (g.direct_depthwise()) {
    DepthwiseArgs args = depthwise_args(g);
    args.channels = layout.stride();
    args.dw = dw;
    float* wide = at_least(scratch.patches, static_cast<std::size_t>(in_pixels) *
                                                static_cast<std::size_t>(args.channels));
    args.x = wide;
    for (int s = 0; s < samples; ++s) {
      if (listed.empty()) {
        table.widen(x + s * in_size, zero_point, static_cast<std::size_t>(in_size), wide);
        args.g = gradient + s * out_size;
      } else {
        widen_columns(x + s * in_size, in_pixels, g.in_stride, listed, zero_point, wide, scratch);
        float* selected = at_least(scratch.gradient, static_cast<std::size_t>(out_pixels) *
                                                         static_cast<std::size_t>(args.channels));
        gather_columns(gradient + s * out_size, out_pixels, g.out_stride, listed, 0.0F, selected);
        args.g = selected;
      }
      table.depthwise_weight_gradient(args);
    }
    return;
  }

  const bool direct = g.direct_gemm();
  const int maps = direct ? 1 : samples;
  const int rows_per_map = direct ? out_pixels * samples : out_pixels;
  const int out = g.out_per_group();
  GemmArgs gemm;
  gemm.m = out;
  gemm.n = layout.stride();
  gemm.a_row = 1;
  gemm.a_column = g.out_stride;
  float* rows_buffer = at_least(
      scratch.patches, static_cast<std::size_t>(kTileRows) * static_cast<std::size_t>(gemm.n));
  gemm.b = rows_buffer;
  gemm.b_row = gemm.n;
  gemm.c_row = layout.stride();
  for (int map = 0; map < maps; ++map) {
    for (int first = 0; first < rows_per_map; first += kTileRows) {
      gemm.k = std::min(kTileRows, rows_per_map - first);
      for (int group = 0; group < g.groups; ++group) {
        if (direct && listed.empty()) {
          table.widen(x + std::ptrdiff_t{first} * g.in_stride, zero_point,
                      static_cast<std::size_t>(gemm.k) * static_cast<std::size_t>(g.in_stride),
                      rows_buffer);
        } else if (direct) {
          widen_columns(x + std::ptrdiff_t{first} * g.in_stride, gemm.k, g.in_stride, listed,
                        zero_point, rows_buffer, scratch);
        } else if (g.groups == 1 && listed.empty()) {
          const std::size_t size =
              static_cast<std::size_t>(gemm.k) * static_cast<std::size_t>(gemm.n);
          std::uint8_t* buffer = at_least(scratch.bytes_in, size + kPatchSlack);
          auto* bytes = reinterpret_cast<std::int8_t*>(buffer);
          byte_patches(g, x + map * in_size, zero_point, first, gemm.k, bytes);
          table.widen(bytes, zero_point, size, rows_buffer);
        } else {
          patches(g, x + map * in_size, zero_point,
                  {group * g.in_per_group(), g.in_per_group(), listed}, first, gemm.k, rows_buffer);
        }
        gemm.a = gradient + map * out_size + std::ptrdiff_t{first} * g.out_stride + group * out;
        gemm.c = dw + std::ptrdiff_t{group} * out * layout.stride();
        table.gemm(gemm, true);
      }
    }
  }
}

}  // namespace espalier::kernels
