// SPDX-License-Identifier: MIT
#include "dv/fpu_bench.hpp"

#include <verilated.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <random>

#include "Vesp_fpu.h"

namespace espalier::hw::dv {
namespace {

constexpr std::array<std::uint32_t, 26> kCorners = {
    0x0000'0000, 0x0000'0001, 0x0000'0002, 0x0040'0000, 0x007f'ffff, 0x0080'0000, 0x0080'0001,
    0x00ff'ffff, 0x0100'0000, 0x3300'0000, 0x337f'ffff, 0x3eff'ffff, 0x3f00'0000, 0x3f7f'ffff,
    0x3f80'0000, 0x3f80'0001, 0x3fc0'0000, 0x4b00'0000, 0x4eff'ffff, 0x4f00'0000, 0x4f80'0000,
    0x7e80'0000, 0x7f7f'ffff, 0x7f80'0000, 0x7f80'0001, 0x7fc0'0000};

class OperandSource {
 public:
  OperandSource(const FloatOperation& operation, std::uint64_t seed)
      : operation_(operation), random_(seed) {}

  FloatOperands next() {
    FloatOperands x;
    if (operation_.from_integer) {
      // All lengths of integers equally often.
      x.a = bits() >> random_() % 32;
      if (random_() % 2 == 0) x.a = 0 - x.a;
      return x;
    }
    x.a = any();
    x.b = random_() % 4 == 0 ? near(x.a) : any();
    x.c = any();
    if (operation_.operands == 3) {
      // Often an addend close to the product, for cancellation.
      const std::uint32_t product = multiply(x.a, x.b, Rounding::kRne).value;
      if (random_() % 3 == 0) x.c = near(product);
    }
    return x;
  }

 private:
  std::uint32_t bits() { return static_cast<std::uint32_t>(random_()); }

  std::uint32_t any() {
    switch (random_() % 8) {
      case 0:
        return kCorners[random_() % kCorners.size()] | (bits() & 0x8000'0000);
      case 1:  // subnormal
        return bits() & 0x807f'ffff;
      case 2:  // a few bits set, so that sums and products are exact or halfway
        return (bits() & 0x8000'0000) | (96 + bits() % 64) << 23 | 0x7f'ffffu << bits() % 24 % 23;
      case 3:
      case 4:  // of moderate size
        return (bits() & 0x807f'ffff) | (96 + bits() % 64) << 23;
      case 5:  // near both ends
        return (bits() & 0x807f'ffff) | (bits() % 2 == 0 ? bits() % 30 : 225 + bits() % 30) << 23;
      default:
        return bits();
    }
  }

  // About the same size, either sign.
  std::uint32_t near(std::uint32_t x) {
    const std::uint32_t exponent_step = (bits() % 5) << 23;
    std::uint32_t y = x + (bits() & 0xf) - 8;
    if (random_() % 2 == 0) y ^= bits() & 0x7f'ffff;
    if (random_() % 2 == 0) y += exponent_step;
    if (random_() % 4 == 0) y -= 0x0c00'0000;  // around the last place of the other
    return y ^ (bits() & 0x8000'0000);
  }

  const FloatOperation& operation_;
  std::mt19937_64 random_;
};

}  // namespace

class FpuBench::Impl {
 public:
  Impl() : top_(&context_) {
    top_.srst_ni = 0;
    clock();
    clock();
    top_.srst_ni = 1;
  }
  ~Impl() { top_.final(); }

  std::vector<FloatResult> run(const FloatOperation& operation, Rounding rounding,
                               std::span<const FloatOperands> operands) {
    results_.clear();
    results_.resize(operands.size());
    arrived_ = 0;
    top_.op_i = operation.op;
    top_.funct_i = operation.funct3;
    top_.unsigned_i = operation.is_unsigned;
    top_.rm_i = static_cast<std::uint8_t>(rounding);
    bool late = false;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      top_.valid_i = 1;
      top_.rd_i = static_cast<std::uint8_t>(i % 32);
      top_.a_i = operands[i].a;
      top_.int_i = operands[i].a;
      top_.b_i = operands[i].b;
      top_.c_i = operands[i].c;
      settle();
      while (!top_.ready_o) {
        clock();
        settle();
      }
      late = top_.late_o;
      if (!late) results_[i] = {top_.result_o, top_.flags_o};
      clock();
    }
    top_.valid_i = 0;
    settle();
    for (int i = 0; i < 4; ++i) clock();
    // A lost result shows as a wrong one.
    if (late && arrived_ != operands.size()) results_.back() = {0xdead'beef, 0xff};
    return std::move(results_);
  }

 private:
  void settle() {
    top_.clk_i = 0;
    top_.eval();
  }

  void clock() {
    top_.clk_i = 1;
    top_.eval();
    if (top_.round_valid_o) {
      if (arrived_ < results_.size() && top_.round_rd_o == arrived_ % 32) {
        results_[arrived_] = {top_.late_result_o, top_.late_flags_o};
      }
      ++arrived_;
    }
    top_.clk_i = 0;
    top_.eval();
  }

  VerilatedContext context_;
  Vesp_fpu top_;
  std::vector<FloatResult> results_;
  std::size_t arrived_ = 0;
};

FpuBench::FpuBench() : impl_(std::make_unique<Impl>()) {}
FpuBench::~FpuBench() = default;

std::vector<FloatResult> FpuBench::run(const FloatOperation& operation, Rounding rounding,
                                       std::span<const FloatOperands> operands) {
  return impl_->run(operation, rounding, operands);
}

std::vector<FloatOperands> float_operands(const FloatOperation& operation, std::size_t count,
                                          std::uint64_t seed) {
  std::vector<FloatOperands> operands;
  operands.reserve(count);
  const std::size_t corners = 2 * kCorners.size();
  const auto corner = [](std::size_t i) {
    return kCorners[i / 2] | (i % 2 == 0 ? 0u : 0x8000'0000u);
  };
  std::size_t combinations = 1;
  for (int i = 0; i < operation.operands; ++i) combinations *= corners;
  // Three operands have too many corners for a small run: start anywhere and take what fits.
  const std::size_t wanted = std::min(combinations, count / 2);
  const std::size_t first = combinations > wanted ? seed * 7919 % combinations : 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t index = (first + i * (combinations > wanted ? 9973 : 1)) % combinations;
    operands.push_back({corner(index % corners), corner(index / corners % corners),
                        corner(index / corners / corners % corners)});
  }
  OperandSource source(operation, seed);
  while (operands.size() < count) operands.push_back(source.next());
  return operands;
}

FpuComparison compare_operation(const FloatOperation& operation, std::size_t count,
                                std::uint64_t seed) {
  constexpr std::size_t kChunk = 50'000;
  constexpr std::array<Rounding, 5> kModes = {Rounding::kRne, Rounding::kRtz, Rounding::kRdn,
                                              Rounding::kRup, Rounding::kRmm};
  FpuComparison comparison;
  FpuBench bench;
  const auto report = [&](const char* against, Rounding rounding, const FloatOperands& x,
                          const FloatResult& core, const FloatResult& other) {
    char text[200];
    std::snprintf(text, sizeof text,
                  "%s mode %d of %08x %08x %08x: core %08x flags %02x, %s %08x flags %02x",
                  operation.name, static_cast<int>(rounding), x.a, x.b, x.c, core.value, core.flags,
                  against, other.value, other.flags);
    comparison.mismatch = text;
  };
  for (std::size_t done = 0; done < count; done += kModes.size() * kChunk) {
    const std::size_t share = std::min(kChunk, (count - done + kModes.size() - 1) / kModes.size());
    // The corners meet every mode; the random part differs from mode to mode.
    for (const Rounding rounding : kModes) {
      const std::uint64_t chunk_seed =
          seed * 1'000'003 + done * 5 + static_cast<unsigned>(rounding);
      const std::vector<FloatOperands> operands = float_operands(operation, share, chunk_seed);
      const std::vector<FloatResult> core = bench.run(operation, rounding, operands);
      for (std::size_t i = 0; i < operands.size(); ++i) {
        const FloatResult oracle = operation.oracle(operands[i], rounding);
        ++comparison.compared_with_oracle;
        if (core[i] != oracle) {
          report("oracle", rounding, operands[i], core[i], oracle);
          return comparison;
        }
      }
      if (!HostRounding::supports(rounding)) continue;
      const HostRounding mode(rounding);
      for (std::size_t i = 0; i < operands.size(); ++i) {
        const std::optional<FloatResult> host = operation.host(operands[i]);
        if (!host) continue;
        ++comparison.compared_with_host;
        if (core[i] != *host) {
          report("host", rounding, operands[i], core[i], *host);
          return comparison;
        }
      }
    }
  }
  return comparison;
}

}  // namespace espalier::hw::dv
