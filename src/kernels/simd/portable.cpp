// The vector kernels on any machine: 16 lanes as an array, fused multiply-add from the C library
// (or the hardware, where the baseline has one). Same bits as the others, only slower.
#include <cmath>

#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {
namespace {

struct Vec {
  float lane[16];
};
constexpr int kWidth = 16;
constexpr int kRows = 2;
constexpr int kVectors = 1;

inline Vec zero() { return {}; }
inline Vec load(const float* p) {
  Vec v;
  for (int i = 0; i < kWidth; ++i) v.lane[i] = p[i];
  return v;
}
inline void store(float* p, const Vec& v) {
  for (int i = 0; i < kWidth; ++i) p[i] = v.lane[i];
}
inline Vec broadcast(float x) {
  Vec v;
  for (float& lane : v.lane) lane = x;
  return v;
}
inline Vec add(const Vec& a, const Vec& b) {
  Vec v;
  for (int i = 0; i < kWidth; ++i) v.lane[i] = a.lane[i] + b.lane[i];
  return v;
}
inline Vec mul(const Vec& a, const Vec& b) {
  Vec v;
  for (int i = 0; i < kWidth; ++i) v.lane[i] = a.lane[i] * b.lane[i];
  return v;
}
inline Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  Vec v;
  for (int i = 0; i < kWidth; ++i) v.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
  return v;
}
inline Vec masked_mul(const Vec& a, const Vec& b, const std::uint8_t* mask) {
  Vec v;
  for (int i = 0; i < kWidth; ++i) v.lane[i] = mask[i] != 0 ? a.lane[i] * b.lane[i] : 0.0F;
  return v;
}
inline void store_integer(std::int32_t* p, const Vec& v) {
  for (int i = 0; i < kWidth; ++i) p[i] = static_cast<std::int32_t>(v.lane[i]);
}
inline void add_integer(std::int32_t* p, const Vec& v) {
  for (int i = 0; i < kWidth; ++i) {
    p[i] =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(p[i]) +
                                  static_cast<std::uint32_t>(static_cast<std::int32_t>(v.lane[i])));
  }
}

}  // namespace
}  // namespace espalier::kernels

#include "requantize_scalar.inc"

namespace espalier::kernels {
namespace {

void requantize(const RequantizeArgs& r) { requantize_part(r, 0, r.rows, 0, r.channels); }
void rescale(const RescaleArgs& r) { rescale_plain(r); }

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_KERNELS_NAME "portable"
#define ESPALIER_KERNELS_TABLE kPortableKernels
#include "kernels.inc"
