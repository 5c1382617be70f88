// Element-wise loops of the host forms, compiled once for each vector width.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/espalier_integer.h"

namespace espalier::engine::host {

/// Elements of one map whose parameters repeat with its channels: those of `tile` of them, some
/// whole pixels, are written out.
struct Tiled {
  std::int64_t elements = 0;
  std::int64_t tile = 0;
};
inline constexpr std::int64_t kTile = 256;  ///< or one pixel

/// esp_q_value() of many elements, where every shift lies in [kLeastShift, 63] and the sum with its
/// addend is an int32. By place of the tile: y = (sum + addend) * factor / 2^shift, to nearest.
struct SinkArgs {
  Tiled shape;
  const std::int32_t* factor = nullptr;  ///< 1 where there is none
  const std::int32_t* shift = nullptr;
  bool high = false;                   ///< all shifts are kHighShift or more
  const std::uint8_t* mask = nullptr;  ///< a byte an element; null: everything passes
  const std::int8_t* addend = nullptr;
  int down = 0;
  int up = 0;
  const std::int32_t* sums = nullptr;
  std::int8_t* out = nullptr;
};
inline constexpr int kLeastShift = 2;
inline constexpr int kMostShift = 62;
inline constexpr int kHighShift = 33;

/// A step of weights that lie side by side; the random number of weight i is that of
/// key + channels[i], or key + i.
struct StepArgs {
  int count = 0;
  std::int8_t* weights = nullptr;
  const esp_sgd* sgd = nullptr;
  const std::int16_t* channels = nullptr;
  std::uint32_t key = 0;
};

struct Loops {
  /// Bytes that are nonzero where the bit is set; whole bytes of bits are expanded.
  void (*expand_bits)(const std::uint8_t* bits, std::int64_t count, std::uint8_t* bytes);
  /// The bits of bytes 0 and 1; those behind the last stay.
  void (*pack_bits)(const std::uint8_t* bytes, std::int64_t count, std::uint8_t* bits);
  /// out = in - zero.
  void (*widen)(const std::int8_t* in, int zero, std::int64_t count, float* out);
  void (*to_integers)(const float* in, std::int64_t count, std::int32_t* out);
  /// g = dy * factor where the mask lets it pass, otherwise 0; g may be dy.
  void (*scale_tiled)(const Tiled& shape, const float* dy, const std::uint8_t* mask,
                      const float* factor, float* g);
  /// dx (+)= dy * factor where the mask lets it pass; dx may be dy.
  void (*scale)(std::int64_t count, const float* dy, const std::uint8_t* mask, float factor,
                float* dx, bool add);
  /// out += in.
  void (*add)(std::int64_t count, const float* in, float* out);
  /// sums = those over the rows, in their order.
  void (*column_sums)(std::int64_t rows, int columns, const float* in, float* sums);
  void (*column_sums_q)(std::int64_t rows, int columns, const std::int8_t* in, std::int32_t* sums);
  /// The bitwise or of the magnitudes before saturation.
  std::uint32_t (*sink)(const SinkArgs&);
  void (*step)(const StepArgs&, const float* gradient, float scale);
  void (*step_q)(const StepArgs&, const std::int32_t* sums, esp_q_pace pace);
  /// esp_q_keep() of sums that are added to those of other samples: kept += sums / 2^up.
  void (*keep_q)(std::int64_t count, const std::int32_t* sums, int up, esp_any_int32* kept);
};

/// As fast as the variant of kernels::kernels() allows.
const Loops& loops();

}  // namespace espalier::engine::host
