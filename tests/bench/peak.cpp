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

#if defined(__x86_64__)

// Twelve chains in flight, more than latency times throughput of any core. Each instruction is an
// asm statement of its own: whatever the compiler knows of the values, it must issue it.
constexpr int kChains = 12;
#define ESPALIER_CHAINS(op) \
  op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)

// Each returns the multiply-accumulates it did.
__attribute__((target("avx512f"))) double float_512() {
  const __m512 a = _mm512_set1_ps(1.0F);
#define ESPALIER_START(i) __m512 acc##i = _mm512_set1_ps(0.0F);
  ESPALIER_CHAINS(ESPALIER_START)
  for (int round = 0; round < kRounds; ++round) {
#define ESPALIER_STEP(i) asm volatile("vfmadd231ps %1, %1, %0" : "+v"(acc##i) : "v"(a));
    ESPALIER_CHAINS(ESPALIER_STEP)
#undef ESPALIER_STEP
  }
  return 16.0 * kChains * kRounds;
}

__attribute__((target("avx2,fma"))) double float_256() {
  const __m256 a = _mm256_set1_ps(1.0F);
#undef ESPALIER_START
#define ESPALIER_START(i) __m256 acc##i = _mm256_set1_ps(0.0F);
  ESPALIER_CHAINS(ESPALIER_START)
  for (int round = 0; round < kRounds; ++round) {
#define ESPALIER_STEP(i) asm volatile("vfmadd231ps %1, %1, %0" : "+x"(acc##i) : "x"(a));
    ESPALIER_CHAINS(ESPALIER_STEP)
#undef ESPALIER_STEP
  }
  return 8.0 * kChains * kRounds;
}

__attribute__((target("avx512f,avx512vnni"))) double integer_512() {
  const __m512i a = _mm512_set1_epi8(1);
#undef ESPALIER_START
#define ESPALIER_START(i) __m512i acc##i = _mm512_setzero_si512();
  ESPALIER_CHAINS(ESPALIER_START)
  for (int round = 0; round < kRounds; ++round) {
#define ESPALIER_STEP(i) asm volatile("vpdpbusd %1, %1, %0" : "+v"(acc##i) : "v"(a));
    ESPALIER_CHAINS(ESPALIER_STEP)
#undef ESPALIER_STEP
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
