// Weights in the layouts of the vector kernels, made anew when they have changed.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <utility>

#include "scratch.hpp"

namespace espalier::engine::host {

/// Of the convolutions of one engine, by where their weights lie. What was packed of weights that
/// are no constants is kept beside its result and compared, which costs little and needs nobody to
/// say that weights were stepped, restored or reset.
class PackedCache {
 public:
  explicit PackedCache(std::span<const std::byte> constants) : constants_(constants) {}

  /// Panels of [out][tap][kPanel] input channels as floats, trained channels in their places.
  const float* gemm(const esp_conv& d, const esp_weights& w);
  /// [tap][padded channel] as floats.
  const float* depthwise(const esp_conv& d, const esp_weights& w);
  /// What the int8 kernels read: of `packed` only their members are made.
  const kernels::PackedWeights& int8_gemm(const esp_conv& d, const esp_weights& w);
  const kernels::PackedWeights& int8_depthwise(const esp_conv& d, const esp_weights& w);

 private:
  enum class Layout { kFloat, kInt8 };
  struct Layer {
    kernels::AlignedVector<std::int8_t> source;
    kernels::AlignedVector<float> floats;
    kernels::PackedWeights bytes;
  };
  // True when the layer must be packed.
  Layer& find(const esp_conv& d, const esp_weights& w, Layout layout, bool& changed);

  [[nodiscard]] bool constant(const std::int8_t* weights) const {
    const auto* at = reinterpret_cast<const std::byte*>(weights);
    return at >= constants_.data() && at < constants_.data() + constants_.size();
  }

  std::span<const std::byte> constants_;
  std::map<std::pair<const std::int8_t*, Layout>, Layer> layers_;
};

/// The one of the engine that runs on this thread.
PackedCache& packed();
class UsePacked {
 public:
  explicit UsePacked(PackedCache& cache);
  ~UsePacked();
  UsePacked(const UsePacked&) = delete;
  UsePacked& operator=(const UsePacked&) = delete;

 private:
  PackedCache* before_;
};

}  // namespace espalier::engine::host
