// SPDX-License-Identifier: MIT
// Drives the float unit of the RTL on its own, as fast as it accepts operations, and compares every
// result with the oracle and the host.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dv/float_operations.hpp"

namespace espalier::hw::dv {

class FpuBench {
 public:
  FpuBench();
  ~FpuBench();

  // Results in the order of the operands.
  std::vector<FloatResult> run(const FloatOperation& operation, Rounding rounding,
                               std::span<const FloatOperands> operands);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Corner cases in all combinations of corners, then random ones of several kinds.
std::vector<FloatOperands> float_operands(const FloatOperation& operation, std::size_t count,
                                          std::uint64_t seed);

struct FpuComparison {
  std::string mismatch;  // of the first difference; empty if all agree
  std::uint64_t compared_with_oracle = 0;
  std::uint64_t compared_with_host = 0;
};

// `count` operands, spread over all rounding modes.
FpuComparison compare_operation(const FloatOperation& operation, std::size_t count,
                                std::uint64_t seed);

}  // namespace espalier::hw::dv
