// SPDX-License-Identifier: MIT
// Compiled with -frounding-math; operands and results pass through volatile variables, so that the
// host computes them at run time and in the mode that is set.
#include "dv/float_operations.hpp"

#include <array>
#include <bit>
#include <cfenv>
#include <cmath>

namespace espalier::hw::dv {
namespace {

constexpr std::uint32_t kSignBit = 0x8000'0000;

float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t as_bits(float value) { return std::bit_cast<std::uint32_t>(value); }

std::uint32_t host_flags() {
  const int raised = std::fetestexcept(FE_ALL_EXCEPT);
  std::uint32_t flags = 0;
  if ((raised & FE_INEXACT) != 0) flags |= kInexact;
  if ((raised & FE_UNDERFLOW) != 0) flags |= kUnderflow;
  if ((raised & FE_OVERFLOW) != 0) flags |= kOverflow;
  if ((raised & FE_DIVBYZERO) != 0) flags |= kDivideByZero;
  if ((raised & FE_INVALID) != 0) flags |= kInvalid;
  return flags;
}

template <typename Compute>
std::optional<FloatResult> on_host(Compute compute) {
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile float result = compute();
  const std::uint32_t flags = host_flags();
  const float value = result;
  return FloatResult{value != value ? kCanonicalNan : as_bits(value), flags};
}

std::optional<FloatResult> host_fused(const FloatOperands& x, std::uint32_t flip_a,
                                      std::uint32_t flip_c) {
  // IEEE 754 leaves open whether infinity times zero plus a quiet NaN is invalid.
  const bool infinity_times_zero = ((x.a | kSignBit) == 0xff80'0000 && (x.b & ~kSignBit) == 0) ||
                                   ((x.b | kSignBit) == 0xff80'0000 && (x.a & ~kSignBit) == 0);
  if (infinity_times_zero && is_nan(x.c)) return {};
  volatile float a = as_float(x.a ^ flip_a);
  volatile float b = as_float(x.b);
  volatile float c = as_float(x.c ^ flip_c);
  return on_host([&] { return std::fmaf(a, b, c); });
}

template <typename Operation>
std::optional<FloatResult> host_binary(const FloatOperands& x, Operation operation) {
  volatile float a = as_float(x.a);
  volatile float b = as_float(x.b);
  return on_host([&] { return operation(a, b); });
}

FloatResult host_to_integer(std::uint32_t a, double lowest, double highest) {
  volatile double value = static_cast<double>(as_float(a));
  volatile double rounded = std::nearbyint(value);
  const double exact = value;
  const double whole = rounded;
  const auto pack = [](double v) {
    return static_cast<std::uint32_t>(static_cast<std::int64_t>(v));
  };
  if (whole != whole || whole > highest) return {pack(highest), kInvalid};
  if (whole < lowest) return {pack(lowest), kInvalid};
  return {pack(whole), whole != exact ? kInexact : 0};
}

std::uint32_t signalling_flag(const FloatOperands& x) {
  return is_signalling(x.a) || is_signalling(x.b) ? kInvalid : 0;
}

std::optional<FloatResult> host_extremum(const FloatOperands& x, bool smaller) {
  const float a = as_float(x.a);
  const float b = as_float(x.b);
  const std::uint32_t flags = signalling_flag(x);
  if (std::isnan(a) && std::isnan(b)) return FloatResult{kCanonicalNan, flags};
  if (std::isnan(a)) return FloatResult{x.b, flags};
  if (std::isnan(b)) return FloatResult{x.a, flags};
  const bool a_below = a == b ? std::signbit(a) : a < b;
  return FloatResult{a_below == smaller ? x.a : x.b, flags};
}

// The order of esp_pkg::fpu_op_e.
enum Op : std::uint8_t {
  kMadd,
  kMsub,
  kNmsub,
  kNmadd,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kSqrt,
  kSgnj,
  kMinMax,
  kCompare,
  kFloatToInt,
  kIntToFloat,
  kMoveToInt,
  kMoveToFloat,
  kClass,
};

using Operands = FloatOperands;
using Host = std::optional<FloatResult>;

const FloatOperation kOperations[] = {
    {"fmadd.s", kMadd, 0, false, 3, false,
     [](const Operands& x, Rounding r) { return multiply_add(x.a, x.b, x.c, r); },
     [](const Operands& x) { return host_fused(x, 0, 0); }},
    {"fmsub.s", kMsub, 0, false, 3, false,
     [](const Operands& x, Rounding r) { return multiply_add(x.a, x.b, x.c ^ kSignBit, r); },
     [](const Operands& x) { return host_fused(x, 0, kSignBit); }},
    {"fnmsub.s", kNmsub, 0, false, 3, false,
     [](const Operands& x, Rounding r) { return multiply_add(x.a ^ kSignBit, x.b, x.c, r); },
     [](const Operands& x) { return host_fused(x, kSignBit, 0); }},
    {"fnmadd.s", kNmadd, 0, false, 3, false,
     [](const Operands& x, Rounding r) {
       return multiply_add(x.a ^ kSignBit, x.b, x.c ^ kSignBit, r);
     },
     [](const Operands& x) { return host_fused(x, kSignBit, kSignBit); }},
    {"fadd.s", kAdd, 0, false, 2, false,
     [](const Operands& x, Rounding r) { return add(x.a, x.b, r); },
     [](const Operands& x) { return host_binary(x, [](float a, float b) { return a + b; }); }},
    {"fsub.s", kSub, 0, false, 2, false,
     [](const Operands& x, Rounding r) { return subtract(x.a, x.b, r); },
     [](const Operands& x) { return host_binary(x, [](float a, float b) { return a - b; }); }},
    {"fmul.s", kMul, 0, false, 2, false,
     [](const Operands& x, Rounding r) { return multiply(x.a, x.b, r); },
     [](const Operands& x) { return host_binary(x, [](float a, float b) { return a * b; }); }},
    {"fdiv.s", kDiv, 0, false, 2, false,
     [](const Operands& x, Rounding r) { return divide(x.a, x.b, r); },
     [](const Operands& x) { return host_binary(x, [](float a, float b) { return a / b; }); }},
    {"fsqrt.s", kSqrt, 0, false, 1, false,
     [](const Operands& x, Rounding r) { return square_root(x.a, r); },
     [](const Operands& x) -> Host {
       volatile float a = as_float(x.a);
       return on_host([&] { return std::sqrt(a); });
     }},
    {"fsgnj.s", kSgnj, 0, false, 2, false,
     [](const Operands& x, Rounding) {
       return FloatResult{(x.a & ~kSignBit) | (x.b & kSignBit), 0};
     },
     [](const Operands& x) -> Host {
       return FloatResult{as_bits(std::copysign(as_float(x.a), as_float(x.b))), 0};
     }},
    {"fsgnjn.s", kSgnj, 1, false, 2, false,
     [](const Operands& x, Rounding) {
       return FloatResult{(x.a & ~kSignBit) | (~x.b & kSignBit), 0};
     },
     [](const Operands& x) -> Host {
       return FloatResult{as_bits(std::copysign(as_float(x.a), -as_float(x.b))), 0};
     }},
    {"fsgnjx.s", kSgnj, 2, false, 2, false,
     [](const Operands& x, Rounding) {
       return FloatResult{x.a ^ (x.b & kSignBit), 0};
     },
     [](const Operands& x) -> Host {
       return FloatResult{as_bits(std::signbit(as_float(x.b)) ? -as_float(x.a) : as_float(x.a)), 0};
     }},
    {"fmin.s", kMinMax, 0, false, 2, false,
     [](const Operands& x, Rounding) { return minimum(x.a, x.b); },
     [](const Operands& x) { return host_extremum(x, true); }},
    {"fmax.s", kMinMax, 1, false, 2, false,
     [](const Operands& x, Rounding) { return maximum(x.a, x.b); },
     [](const Operands& x) { return host_extremum(x, false); }},
    {"fle.s", kCompare, 0, false, 2, false,
     [](const Operands& x, Rounding) { return less_or_equal(x.a, x.b); },
     [](const Operands& x) -> Host {
       const float a = as_float(x.a);
       const float b = as_float(x.b);
       return FloatResult{a <= b ? 1u : 0u, std::isnan(a) || std::isnan(b) ? kInvalid : 0};
     }},
    {"flt.s", kCompare, 1, false, 2, false,
     [](const Operands& x, Rounding) { return less(x.a, x.b); },
     [](const Operands& x) -> Host {
       const float a = as_float(x.a);
       const float b = as_float(x.b);
       return FloatResult{a < b ? 1u : 0u, std::isnan(a) || std::isnan(b) ? kInvalid : 0};
     }},
    {"feq.s", kCompare, 2, false, 2, false,
     [](const Operands& x, Rounding) { return equal(x.a, x.b); },
     [](const Operands& x) -> Host {
       return FloatResult{as_float(x.a) == as_float(x.b) ? 1u : 0u, signalling_flag(x)};
     }},
    {"fcvt.w.s", kFloatToInt, 0, false, 1, false,
     [](const Operands& x, Rounding r) { return to_int(x.a, r); },
     [](const Operands& x) -> Host { return host_to_integer(x.a, -2147483648.0, 2147483647.0); }},
    {"fcvt.wu.s", kFloatToInt, 0, true, 1, false,
     [](const Operands& x, Rounding r) { return to_unsigned(x.a, r); },
     [](const Operands& x) -> Host { return host_to_integer(x.a, 0.0, 4294967295.0); }},
    {"fcvt.s.w", kIntToFloat, 0, false, 1, true,
     [](const Operands& x, Rounding r) { return from_int(x.a, r); },
     [](const Operands& x) -> Host {
       volatile std::int32_t a = static_cast<std::int32_t>(x.a);
       return on_host([&] { return static_cast<float>(a); });
     }},
    {"fcvt.s.wu", kIntToFloat, 0, true, 1, true,
     [](const Operands& x, Rounding r) { return from_unsigned(x.a, r); },
     [](const Operands& x) -> Host {
       volatile std::uint32_t a = x.a;
       return on_host([&] { return static_cast<float>(a); });
     }},
    {"fmv.x.w", kMoveToInt, 0, false, 1, false,
     [](const Operands& x, Rounding) {
       return FloatResult{x.a, 0};
     },
     [](const Operands& x) -> Host {
       return FloatResult{x.a, 0};
     }},
    {"fmv.w.x", kMoveToFloat, 0, false, 1, true,
     [](const Operands& x, Rounding) {
       return FloatResult{x.a, 0};
     },
     [](const Operands& x) -> Host {
       return FloatResult{x.a, 0};
     }},
    {"fclass.s", kClass, 1, false, 1, false,
     [](const Operands& x, Rounding) {
       return FloatResult{classify(x.a), 0};
     },
     [](const Operands& x) -> Host {
       const float a = as_float(x.a);
       const bool negative = std::signbit(a);
       switch (std::fpclassify(a)) {
         case FP_INFINITE:
           return FloatResult{negative ? 0x001u : 0x080u, 0};
         case FP_NORMAL:
           return FloatResult{negative ? 0x002u : 0x040u, 0};
         case FP_SUBNORMAL:
           return FloatResult{negative ? 0x004u : 0x020u, 0};
         case FP_ZERO:
           return FloatResult{negative ? 0x008u : 0x010u, 0};
         default:
           return FloatResult{is_signalling(x.a) ? 0x100u : 0x200u, 0};
       }
     }},
};

}  // namespace

std::span<const FloatOperation> float_operations() { return kOperations; }

HostRounding::HostRounding(Rounding rounding) : previous_(std::fegetround()) {
  static constexpr std::array<int, 4> kModes = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD,
                                                FE_UPWARD};
  const auto index = static_cast<std::size_t>(rounding);
  if (index < kModes.size()) std::fesetround(kModes[index]);
}

HostRounding::~HostRounding() { std::fesetround(previous_); }

}  // namespace espalier::hw::dv
