#include "peak.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace espalier::bench {
namespace {

constexpr int kRounds = 20000000;
// Chains in flight: more than latency times throughput of any core.
[[maybe_unused]] constexpr int kChains = 12;

#if defined(__x86_64__)

// Each returns the multiply-accumulates it did. The chains end in a volatile so that none is
// optimised away.
__attribute__((target("avx512f"))) double float_512() {
  __m512 acc[kChains];
  const __m512 a = _mm512_set1_ps(1.0F);
  const __m512 b = _mm512_set1_ps(1e-9F);
  for (int i = 0; i < kChains; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      acc[i] = _mm512_fmadd_ps(a, b, acc[i]);
      asm volatile("" : "+v"(acc[i]));
    }
  }
  alignas(64) float out[16];
  volatile float sink = 0;
  for (int i = 0; i < kChains; ++i) {
    _mm512_store_ps(out, acc[i]);
    sink = sink + out[0];
  }
  return 16.0 * kChains * kRounds;
}

__attribute__((target("avx2,fma"))) double float_256() {
  __m256 acc[kChains];
  const __m256 a = _mm256_set1_ps(1.0F);
  const __m256 b = _mm256_set1_ps(1e-9F);
  for (int i = 0; i < kChains; ++i) acc[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      acc[i] = _mm256_fmadd_ps(a, b, acc[i]);
      asm volatile("" : "+x"(acc[i]));
    }
  }
  alignas(32) float out[8];
  volatile float sink = 0;
  for (int i = 0; i < kChains; ++i) {
    _mm256_store_ps(out, acc[i]);
    sink = sink + out[0];
  }
  return 8.0 * kChains * kRounds;
}

__attribute__((target("avx512f,avx512vnni"))) double integer_512() {
  __m512i acc[kChains];
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(-2);
  for (int i = 0; i < kChains; ++i) acc[i] = _mm512_set1_epi32(i);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
      asm volatile("" : "+v"(acc[i]));
    }
  }
  alignas(64) std::int32_t out[16];
  volatile std::int32_t sink = 0;
  for (int i = 0; i < kChains; ++i) {
    _mm512_store_si512(out, acc[i]);
    sink = sink ^ out[0];
  }
  return 64.0 * kChains * kRounds;
}

#endif

// Sum of the rates of `threads` threads that do the same at the same time.
double rate(int threads, const std::function<double()>& work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> pool;
  std::vector<double> done(static_cast<std::size_t>(threads), 0);
  for (double& amount : done) pool.emplace_back([&amount, &work] { amount = work(); });
  for (std::thread& thread : pool) thread.join();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::accumulate(done.begin(), done.end(), 0.0) / seconds;
}

double read_memory() {
  // Larger than a core's own caches.
  std::vector<std::uint64_t> data(std::size_t{1} << 23, 1);
  std::uint64_t sum = 0;
  constexpr int kPasses = 8;
  for (int pass = 0; pass < kPasses; ++pass) {
    sum = std::accumulate(data.begin(), data.end(), sum);
  }
  volatile std::uint64_t sink = sum;
  static_cast<void>(sink);
  return static_cast<double>(data.size()) * 8 * kPasses;
}

}  // namespace

Peak measure_peak(int threads) {
  Peak peak;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) {
    peak.float_macs = rate(threads, float_512);
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    peak.float_macs = rate(threads, float_256);
  }
  if (__builtin_cpu_supports("avx512vnni")) peak.integer_macs = rate(threads, integer_512);
#endif
  peak.bytes = rate(threads, read_memory);
  return peak;
}

}  // namespace espalier::bench
