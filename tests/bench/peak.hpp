// What this machine's cores can do at most: multiply-accumulates from registers alone. The ceiling
// that docs/performance.md holds the kernels against.
#pragma once

namespace espalier::bench {

/// Multiply-accumulates per second; 0 where the machine or the build has no such instruction.
struct Peak {
  double float_macs = 0;    ///< widest fused multiply-add
  double integer_macs = 0;  ///< 8-bit dot products into 32 bits
  double bytes = 0;         ///< bytes read per second from memory, one stream
};

/// Measures the peak of `threads` threads together.
Peak measure_peak(int threads);

}  // namespace espalier::bench
