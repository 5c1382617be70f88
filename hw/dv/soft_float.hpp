// SPDX-License-Identifier: MIT
// Single-precision arithmetic of RISC-V in integers: the reference that the float unit is held to.
//
// Sums are formed exactly, in fixed point wide enough for every float and every product of two, and
// rounded once. No shift, window or sticky bit of the hardware is repeated here. Encodings are
// IEEE 754 bit patterns; every NaN result is the canonical one; tininess is detected after
// rounding.
#pragma once

#include <cstdint>

namespace espalier::hw::dv {

enum class Rounding : std::uint8_t { kRne = 0, kRtz = 1, kRdn = 2, kRup = 3, kRmm = 4 };

// Bits of fflags.
inline constexpr std::uint32_t kInexact = 1;
inline constexpr std::uint32_t kUnderflow = 2;
inline constexpr std::uint32_t kOverflow = 4;
inline constexpr std::uint32_t kDivideByZero = 8;
inline constexpr std::uint32_t kInvalid = 16;

inline constexpr std::uint32_t kCanonicalNan = 0x7fc0'0000;

// A result and the flags that it raises.
struct FloatResult {
  std::uint32_t value = 0;
  std::uint32_t flags = 0;

  bool operator==(const FloatResult&) const = default;
};

bool is_nan(std::uint32_t x);
bool is_signalling(std::uint32_t x);

FloatResult add(std::uint32_t a, std::uint32_t b, Rounding rounding);
FloatResult subtract(std::uint32_t a, std::uint32_t b, Rounding rounding);
FloatResult multiply(std::uint32_t a, std::uint32_t b, Rounding rounding);
// a * b + c with one rounding. The other three of the family negate a or c.
FloatResult multiply_add(std::uint32_t a, std::uint32_t b, std::uint32_t c, Rounding rounding);
FloatResult divide(std::uint32_t a, std::uint32_t b, Rounding rounding);
FloatResult square_root(std::uint32_t a, Rounding rounding);

FloatResult minimum(std::uint32_t a, std::uint32_t b);
FloatResult maximum(std::uint32_t a, std::uint32_t b);
FloatResult equal(std::uint32_t a, std::uint32_t b);
FloatResult less(std::uint32_t a, std::uint32_t b);
FloatResult less_or_equal(std::uint32_t a, std::uint32_t b);

FloatResult to_int(std::uint32_t a, Rounding rounding);
FloatResult to_unsigned(std::uint32_t a, Rounding rounding);
FloatResult from_int(std::uint32_t a, Rounding rounding);
FloatResult from_unsigned(std::uint32_t a, Rounding rounding);

// The mask of FCLASS.S.
std::uint32_t classify(std::uint32_t a);

}  // namespace espalier::hw::dv
