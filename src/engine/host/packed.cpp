#include "packed.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace espalier::engine::host {
namespace {

using kernels::kLanes;
using kernels::kPanel;
using kernels::kQuad;
using kernels::padded;

// The sum of an output channel's weights, and what their products with inputs cannot exceed.
void note_weights(const std::int8_t* weights, int count, int channel,
                  kernels::PackedWeights& packed) {
  std::int32_t sum = 0;
  std::int32_t magnitude = 0;
  for (int k = 0; k < count; ++k) {
    sum += weights[k];
    magnitude += std::abs(weights[k]);
  }
  packed.int8_sums[static_cast<std::size_t>(channel)] = sum;
  packed.int8_reach[static_cast<std::size_t>(channel)] = kernels::kMostInput * magnitude;
}

// One weight row after the other, [out][tap][in], trained channels in their places.
template <typename Use>
void for_rows(const esp_conv& d, const esp_weights& w, Use use) {
  const int fan_in = taps(d) * d.in_c;
  std::int8_t* merged = room(scratch().row, fan_in);
  for (int o = 0; o < d.out_c; ++o) {
    const std::int8_t* row = w.full + std::ptrdiff_t{o} * fan_in;
    if (w.count > 0) {
      std::memcpy(merged, row, static_cast<std::size_t>(fan_in));
      const std::int8_t* trained = w.trained + std::ptrdiff_t{o} * taps(d) * w.count;
      for (int t = 0; t < taps(d); ++t) {
        for (int j = 0; j < w.count; ++j) merged[t * d.in_c + w.channels[j]] = *trained++;
      }
      row = merged;
    }
    use(o, row);
  }
}

// The filters of a depthwise convolution.
template <typename Use>
void for_filters(const esp_conv& d, const esp_weights& w, Use use) {
  for (int c = 0; c < d.in_c; ++c) use(c, w.full + c * taps(d));
  for (int j = 0; j < w.count; ++j) use(w.channels[j], w.trained + j * taps(d));
}

thread_local PackedCache* active = nullptr;

}  // namespace

PackedCache& packed() { return *active; }
UsePacked::UsePacked(PackedCache& cache) : before_(active) { active = &cache; }
UsePacked::~UsePacked() { active = before_; }

PackedCache::Layer& PackedCache::find(const esp_conv& d, const esp_weights& w, Layout layout,
                                      bool& changed) {
  const auto [found, made] = layers_.try_emplace({w.full, layout});
  Layer& layer = found->second;
  const auto out = static_cast<std::size_t>(d.out_c) * static_cast<std::size_t>(taps(d));
  const auto count = static_cast<std::size_t>(w.count);
  const std::size_t full = constant(w.full) ? 0 : out * static_cast<std::size_t>(d.in_c / d.groups);
  const std::size_t trained =
      d.groups == 1 ? out * count : count * static_cast<std::size_t>(taps(d));
  const std::int8_t* kept = layer.source.data();
  changed = made || (full > 0 && std::memcmp(kept, w.full, full) != 0) ||
            (trained > 0 && std::memcmp(kept + full, w.trained, trained) != 0);
  if (changed) {
    layer.source.assign(w.full, w.full + full);
    layer.source.insert(layer.source.end(), w.trained, w.trained + trained);
  }
  return layer;
}

const float* PackedCache::gemm(const esp_conv& d, const esp_weights& w) {
  bool changed = false;
  Layer& layer = find(d, w, Layout::kFloat, changed);
  if (!changed) return layer.floats.data();
  const std::int64_t rows = std::int64_t{d.out_c} * taps(d);
  float* panels = room(layer.floats, (d.in_c + kPanel - 1) / kPanel * rows * kPanel);
  for_rows(d, w, [&](int o, const std::int8_t* row) {
    float* to = panels + std::int64_t{o} * taps(d) * kPanel;
    for (int t = 0; t < taps(d); ++t, row += d.in_c, to += kPanel) {
      for (int c = 0; c < d.in_c; c += kPanel) {
        loops().widen(row + c, 0, std::min(kPanel, d.in_c - c), to + c * rows);
      }
    }
  });
  return panels;
}

const float* PackedCache::depthwise(const esp_conv& d, const esp_weights& w) {
  bool changed = false;
  Layer& layer = find(d, w, Layout::kFloat, changed);
  if (!changed) return layer.floats.data();
  const int row = padded(d.in_c);
  layer.floats.assign(static_cast<std::size_t>(taps(d)) * static_cast<std::size_t>(row), 0.0F);
  for_filters(d, w, [&](int c, const std::int8_t* filter) {
    for (int t = 0; t < taps(d); ++t) {
      layer.floats[static_cast<std::size_t>(t * row + c)] = static_cast<float>(filter[t]);
    }
  });
  return layer.floats.data();
}

// [panel][kernel_h][quads of a row][kPanel][kQuad]
const kernels::PackedWeights& PackedCache::int8_gemm(const esp_conv& d, const esp_weights& w) {
  bool changed = false;
  kernels::PackedWeights& packed = find(d, w, Layout::kInt8, changed).bytes;
  if (!changed) return packed;
  const int run = d.kernel_w * d.in_c;
  const std::ptrdiff_t quads = std::ptrdiff_t{d.kernel_h} * kernels::quads_of(run);
  const std::ptrdiff_t panels = (padded(d.out_c) + kPanel - 1) / kPanel;
  constexpr std::ptrdiff_t kStep = std::ptrdiff_t{kPanel} * kQuad;
  packed.int8_forward.assign(static_cast<std::size_t>(panels * quads * kStep), 0);
  packed.int8_sums.assign(static_cast<std::size_t>(panels * kPanel), 0);
  packed.int8_reach.assign(packed.int8_sums.size(), 0);
  packed.bounded = true;
  for_rows(d, w, [&](int o, const std::int8_t* row) {
    note_weights(row, d.kernel_h * run, o, packed);
    std::int8_t* column = packed.int8_forward.data() + o / kPanel * quads * kStep +
                          std::ptrdiff_t{o % kPanel} * kQuad;
    for (int ky = 0; ky < d.kernel_h; ++ky, row += run) {
      for (int k = 0; k < run; k += kQuad, column += kStep) {
        std::memcpy(column, row + k, static_cast<std::size_t>(std::min(kQuad, run - k)));
      }
    }
  });
  return packed;
}

// [channel / 16][kernel_h][quads of a row][16][kQuad]
const kernels::PackedWeights& PackedCache::int8_depthwise(const esp_conv& d, const esp_weights& w) {
  bool changed = false;
  kernels::PackedWeights& packed = find(d, w, Layout::kInt8, changed).bytes;
  if (!changed) return packed;
  constexpr std::ptrdiff_t kStep = std::ptrdiff_t{kLanes} * kQuad;
  const int row_quads = kernels::quads_of(d.kernel_w);
  const std::ptrdiff_t block = d.kernel_h * row_quads * kStep;
  const auto stride = static_cast<std::size_t>(padded(d.out_c));
  packed.int8_forward.assign(stride / kLanes * static_cast<std::size_t>(block), 0);
  packed.int8_sums.assign(stride, 0);
  packed.int8_reach.assign(stride, 0);
  packed.bounded = true;
  for_filters(d, w, [&](int c, const std::int8_t* filter) {
    std::int8_t* column =
        packed.int8_forward.data() + c / kLanes * block + std::ptrdiff_t{c % kLanes} * kQuad;
    note_weights(filter, taps(d), c, packed);
    for (int ky = 0; ky < d.kernel_h; ++ky, column += row_quads * kStep) {
      for (int kx = 0; kx < d.kernel_w; ++kx) column[kx / kQuad * kStep + kx % kQuad] = *filter++;
    }
  });
  return packed;
}

}  // namespace espalier::engine::host
