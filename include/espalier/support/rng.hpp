// Seeded, keyed random numbers: the stream depends on the seed and the key alone, never on call
// order elsewhere, thread count or standard library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <vector>

namespace espalier {

/// SplitMix64 (Steele, Lea, Flood 2014): one well-mixed 64-bit output per step of the state.
inline std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// A generator keyed by a seed and any number of integers, such as `Rng{seed, generation, child}`.
class Rng {
 public:
  Rng(std::initializer_list<std::uint64_t> key) {
    for (const std::uint64_t part : key) {
      state_ ^= part + 0x632BE59BD9B4E019ULL;
      state_ = splitmix64(state_);
    }
  }

  std::uint64_t next_u64() { return splitmix64(state_); }

  /// Uniform integer in [0, bound); bound > 0. Unbiased (rejection).
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    std::uint64_t x = next_u64();
    while (x >= limit) x = next_u64();
    return x % bound;
  }

  /// Uniform double in [0, 1) with 53 random bits.
  double uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  bool chance(double probability) { return uniform() < probability; }

  /// Fisher-Yates permutation of 0..n-1.
  std::vector<std::uint32_t> permutation(std::size_t n) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[below(i)]);
    return order;
  }

 private:
  std::uint64_t state_ = 0;
};

}  // namespace espalier
