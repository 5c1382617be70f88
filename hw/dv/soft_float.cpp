// SPDX-License-Identifier: MIT
#include "dv/soft_float.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace espalier::hw::dv {
namespace {

constexpr std::uint32_t kSign = 0x8000'0000;
constexpr std::uint32_t kInfinity = 0x7f80'0000;
constexpr std::uint32_t kLargest = 0x7f7f'ffff;

bool is_inf(std::uint32_t x) { return (x & ~kSign) == kInfinity; }
bool is_zero(std::uint32_t x) { return (x & ~kSign) == 0; }
bool sign_of(std::uint32_t x) { return (x & kSign) != 0; }

// value = mantissa * 2^exponent, for a finite float without its sign.
struct Parts {
  std::uint32_t mantissa;
  int exponent;
};

Parts parts_of(std::uint32_t x) {
  const int field = static_cast<int>(x >> 23 & 0xff);
  if (field == 0) return {x & 0x7f'ffff, -149};
  return {(x & 0x7f'ffff) | 0x80'0000, field - 150};
}

// A magnitude in fixed point; bit 0 weighs 2^-298, the smallest product of two floats.
class Fixed {
 public:
  static constexpr int kWords = 10;
  static constexpr int kLowest = -298;

  static Fixed from(std::uint64_t mantissa, int exponent) {
    Fixed result;
    const unsigned shift = static_cast<unsigned>(exponent - kLowest);
    result.words_[shift / 64] = mantissa << shift % 64;
    if (shift % 64 != 0) result.words_[shift / 64 + 1] = mantissa >> (64 - shift % 64);
    return result;
  }

  bool bit(int index) const {
    return (words_[static_cast<unsigned>(index) / 64] >> static_cast<unsigned>(index) % 64 & 1) !=
           0;
  }
  // Index of the leading one, -1 for zero.
  int top() const {
    for (int i = kWords - 1; i >= 0; --i) {
      const std::uint64_t word = words_[static_cast<unsigned>(i)];
      if (word != 0) return 64 * i + 63 - std::countl_zero(word);
    }
    return -1;
  }
  bool any_below(int index) const {
    for (int i = 0; i < kWords; ++i) {
      const int low = 64 * i;
      if (low >= index) return false;
      std::uint64_t word = words_[static_cast<unsigned>(i)];
      if (index - low < 64) word &= (std::uint64_t{1} << (index - low)) - 1;
      if (word != 0) return true;
    }
    return false;
  }
  // Bits index and up, of which there must be at most 32.
  std::uint32_t from_bit(int index) const {
    std::uint32_t value = 0;
    for (int i = top(); i >= index; --i) value = value << 1 | (bit(i) ? 1u : 0u);
    return value;
  }
  bool operator<(const Fixed& other) const {
    return std::lexicographical_compare(words_.rbegin(), words_.rend(), other.words_.rbegin(),
                                        other.words_.rend());
  }
  Fixed operator+(const Fixed& other) const {
    Fixed result;
    std::uint64_t carry = 0;
    for (unsigned i = 0; i < kWords; ++i) {
      const std::uint64_t partial = words_[i] + carry;
      carry = partial < carry ? 1 : 0;
      result.words_[i] = partial + other.words_[i];
      carry += result.words_[i] < partial ? 1 : 0;
    }
    return result;
  }
  // The other one must not be larger.
  Fixed operator-(const Fixed& other) const {
    Fixed result;
    std::uint64_t borrow = 0;
    for (unsigned i = 0; i < kWords; ++i) {
      const std::uint64_t partial = words_[i] - borrow;
      borrow = partial > words_[i] ? 1 : 0;
      result.words_[i] = partial - other.words_[i];
      borrow += result.words_[i] > partial ? 1 : 0;
    }
    return result;
  }

 private:
  std::array<std::uint64_t, kWords> words_{};
};

bool rounds_away(Rounding rounding, bool sign, bool odd, bool half, bool rest) {
  switch (rounding) {
    case Rounding::kRne:
      return half && (rest || odd);
    case Rounding::kRtz:
      return false;
    case Rounding::kRdn:
      return sign && (half || rest);
    case Rounding::kRup:
      return !sign && (half || rest);
    case Rounding::kRmm:
      return half;
  }
  return false;
}

// Magnitude in units of 2^lowest_kept, rounded at that place.
struct Kept {
  std::uint32_t value;
  bool inexact;
};

Kept keep(const Fixed& exact, bool more, int lowest_kept, bool sign, Rounding rounding) {
  const int index = lowest_kept - Fixed::kLowest;
  Kept kept{exact.from_bit(index), false};
  const bool half = index > 0 && exact.bit(index - 1);
  const bool rest = more || (index > 0 && exact.any_below(index - 1));
  kept.inexact = half || rest;
  if (rounds_away(rounding, sign, (kept.value & 1u) != 0, half, rest)) ++kept.value;
  return kept;
}

// Rounds a magnitude that is not zero; `more` says that the exact one is larger, by less than any
// place that is kept or decides rounding.
FloatResult round(bool sign, const Fixed& exact, bool more, Rounding rounding) {
  const std::uint32_t sign_bit = sign ? kSign : 0;
  const int top = exact.top() + Fixed::kLowest;
  FloatResult result;
  if (top >= -126) {
    Kept kept = keep(exact, more, top - 23, sign, rounding);
    int exponent = top;
    if (kept.value == 0x100'0000) {
      kept.value >>= 1;
      ++exponent;
    }
    if (kept.inexact) result.flags |= kInexact;
    if (exponent > 127) {
      const bool to_infinity = rounding == Rounding::kRne || rounding == Rounding::kRmm ||
                               (rounding == Rounding::kRup && !sign) ||
                               (rounding == Rounding::kRdn && sign);
      return {sign_bit | (to_infinity ? kInfinity : kLargest), kOverflow | kInexact};
    }
    result.value =
        sign_bit | static_cast<std::uint32_t>(exponent + 127) << 23 | (kept.value & 0x7f'ffff);
    return result;
  }
  const Kept kept = keep(exact, more, -149, sign, rounding);
  result.value = sign_bit | kept.value;  // 0x800000 is the smallest normal number
  if (kept.inexact) {
    result.flags |= kInexact;
    // Tiny unless rounding with all 24 bits would have reached 2^-126.
    const bool reaches_normal =
        top == -127 && keep(exact, more, top - 23, sign, rounding).value == 0x100'0000;
    if (!reaches_normal) result.flags |= kUnderflow;
  }
  return result;
}

FloatResult nan_result(bool invalid) { return {kCanonicalNan, invalid ? kInvalid : 0}; }

// Sum of two signed magnitudes.
FloatResult round_sum(bool sign_a, const Fixed& a, bool sign_b, const Fixed& b, Rounding rounding) {
  if (sign_a == sign_b) {
    const Fixed sum = a + b;
    if (sum.top() < 0) return {sign_a ? kSign : 0, 0};
    return round(sign_a, sum, false, rounding);
  }
  if (a < b) return round(sign_b, b - a, false, rounding);
  const Fixed difference = a - b;
  if (difference.top() < 0) return {rounding == Rounding::kRdn ? kSign : 0, 0};
  return round(sign_a, difference, false, rounding);
}

FloatResult to_integer(std::uint32_t a, bool is_signed, Rounding rounding) {
  const bool sign = sign_of(a);
  const std::uint32_t largest = is_signed ? 0x7fff'ffff : 0xffff'ffff;
  const std::uint32_t smallest = is_signed ? 0x8000'0000 : 0;
  if (is_nan(a)) return {largest, kInvalid};
  const FloatResult out_of_range{sign ? smallest : largest, kInvalid};
  const Parts parts = parts_of(a);
  if (is_inf(a) || parts.exponent > 8) return out_of_range;
  const Fixed exact = Fixed::from(parts.mantissa, parts.exponent);
  // Cut into whole and fraction by hand: 33 bits can come out of rounding.
  const int point = -Fixed::kLowest;
  std::uint64_t whole = exact.from_bit(point);
  const bool half = exact.bit(point - 1);
  const bool rest = exact.any_below(point - 1);
  if (rounds_away(rounding, sign, (whole & 1u) != 0, half, rest)) ++whole;
  const std::uint64_t limit = sign ? (is_signed ? 0x8000'0000u : 0u) : largest;
  if (whole > limit) return out_of_range;
  const std::uint32_t value = static_cast<std::uint32_t>(sign ? 0 - whole : whole);
  return {value, half || rest ? kInexact : 0};
}

FloatResult from_magnitude(bool sign, std::uint32_t magnitude, Rounding rounding) {
  if (magnitude == 0) return {};
  return round(sign, Fixed::from(magnitude, 0), false, rounding);
}

bool below(std::uint32_t a, std::uint32_t b) {
  // Orders sign and magnitude as one integer; both zeros become 0.
  const auto key = [](std::uint32_t x) {
    const auto magnitude = static_cast<std::int64_t>(x & ~kSign);
    return sign_of(x) ? -magnitude : magnitude;
  };
  return key(a) < key(b);
}

FloatResult extremum(std::uint32_t a, std::uint32_t b, bool want_smaller) {
  const std::uint32_t flags = is_signalling(a) || is_signalling(b) ? kInvalid : 0;
  if (is_nan(a) && is_nan(b)) return {kCanonicalNan, flags};
  if (is_nan(a)) return {b, flags};
  if (is_nan(b)) return {a, flags};
  const bool a_smaller = is_zero(a) && is_zero(b) ? sign_of(a) : below(a, b);
  return {a_smaller == want_smaller ? a : b, flags};
}

}  // namespace

bool is_nan(std::uint32_t x) { return (x & ~kSign) > kInfinity; }
bool is_signalling(std::uint32_t x) { return is_nan(x) && (x & 0x40'0000) == 0; }

FloatResult add(std::uint32_t a, std::uint32_t b, Rounding rounding) {
  if (is_nan(a) || is_nan(b)) return nan_result(is_signalling(a) || is_signalling(b));
  if (is_inf(a) && is_inf(b) && sign_of(a) != sign_of(b)) return nan_result(true);
  if (is_inf(a)) return {a, 0};
  if (is_inf(b)) return {b, 0};
  const Parts x = parts_of(a);
  const Parts y = parts_of(b);
  return round_sum(sign_of(a), Fixed::from(x.mantissa, x.exponent), sign_of(b),
                   Fixed::from(y.mantissa, y.exponent), rounding);
}

FloatResult subtract(std::uint32_t a, std::uint32_t b, Rounding rounding) {
  return add(a, b ^ kSign, rounding);  // the sign of a NaN does not show
}

FloatResult multiply(std::uint32_t a, std::uint32_t b, Rounding rounding) {
  if (is_nan(a) || is_nan(b)) return nan_result(is_signalling(a) || is_signalling(b));
  if ((is_inf(a) && is_zero(b)) || (is_zero(a) && is_inf(b))) return nan_result(true);
  const bool sign = sign_of(a) != sign_of(b);
  const std::uint32_t sign_bit = sign ? kSign : 0;
  if (is_inf(a) || is_inf(b)) return {sign_bit | kInfinity, 0};
  if (is_zero(a) || is_zero(b)) return {sign_bit, 0};
  const Parts x = parts_of(a);
  const Parts y = parts_of(b);
  return round(sign, Fixed::from(std::uint64_t{x.mantissa} * y.mantissa, x.exponent + y.exponent),
               false, rounding);
}

FloatResult multiply_add(std::uint32_t a, std::uint32_t b, std::uint32_t c, Rounding rounding) {
  const bool undefined = (is_inf(a) && is_zero(b)) || (is_zero(a) && is_inf(b));
  if (is_nan(a) || is_nan(b) || is_nan(c) || undefined) {
    return nan_result(undefined || is_signalling(a) || is_signalling(b) || is_signalling(c));
  }
  const bool sign = sign_of(a) != sign_of(b);
  if (is_inf(a) || is_inf(b)) {
    if (is_inf(c) && sign_of(c) != sign) return nan_result(true);
    return {(sign ? kSign : 0) | kInfinity, 0};
  }
  if (is_inf(c)) return {c, 0};
  const Parts x = parts_of(a);
  const Parts y = parts_of(b);
  const Parts z = parts_of(c);
  return round_sum(sign,
                   Fixed::from(std::uint64_t{x.mantissa} * y.mantissa, x.exponent + y.exponent),
                   sign_of(c), Fixed::from(z.mantissa, z.exponent), rounding);
}

FloatResult divide(std::uint32_t a, std::uint32_t b, Rounding rounding) {
  if (is_nan(a) || is_nan(b)) return nan_result(is_signalling(a) || is_signalling(b));
  if ((is_inf(a) && is_inf(b)) || (is_zero(a) && is_zero(b))) return nan_result(true);
  const bool sign = sign_of(a) != sign_of(b);
  const std::uint32_t sign_bit = sign ? kSign : 0;
  if (is_inf(a)) return {sign_bit | kInfinity, 0};
  if (is_zero(b)) return {sign_bit | kInfinity, kDivideByZero};
  if (is_zero(a) || is_inf(b)) return {sign_bit, 0};
  const Parts x = parts_of(a);
  const Parts y = parts_of(b);
  // The quotient of a mantissa of at least 2^63 has at least 39 bits; the rest is `more`.
  const int shift = std::countl_zero(std::uint64_t{x.mantissa});
  const std::uint64_t dividend = std::uint64_t{x.mantissa} << shift;
  std::uint64_t quotient = dividend / y.mantissa;
  bool more = dividend % y.mantissa != 0;
  int exponent = x.exponent - shift - y.exponent;
  while (exponent < Fixed::kLowest) {  // far below the smallest float
    more = more || (quotient & 1u) != 0;
    quotient >>= 1;
    ++exponent;
  }
  return round(sign, Fixed::from(quotient, exponent), more, rounding);
}

FloatResult square_root(std::uint32_t a, Rounding rounding) {
  if (is_nan(a)) return nan_result(is_signalling(a));
  if (is_zero(a)) return {a, 0};
  if (sign_of(a)) return nan_result(true);
  if (is_inf(a)) return {a, 0};
  const Parts x = parts_of(a);
  // An even exponent and a radicand of at least 61 bits: the root has at least 31.
  int shift = std::countl_zero(std::uint64_t{x.mantissa}) - 1;
  if (((x.exponent - shift) & 1) != 0) --shift;
  const std::uint64_t radicand = std::uint64_t{x.mantissa} << shift;
  std::uint64_t root = 0;
  for (int bit = 31; bit >= 0; --bit) {
    const std::uint64_t trial = root | std::uint64_t{1} << bit;
    if (trial <= radicand / trial) root = trial;
  }
  return round(false, Fixed::from(root, (x.exponent - shift) / 2), root * root != radicand,
               rounding);
}

FloatResult minimum(std::uint32_t a, std::uint32_t b) { return extremum(a, b, true); }
FloatResult maximum(std::uint32_t a, std::uint32_t b) { return extremum(a, b, false); }

FloatResult equal(std::uint32_t a, std::uint32_t b) {
  if (is_nan(a) || is_nan(b)) return {0, is_signalling(a) || is_signalling(b) ? kInvalid : 0};
  return {!below(a, b) && !below(b, a) ? 1u : 0u, 0};
}

FloatResult less(std::uint32_t a, std::uint32_t b) {
  if (is_nan(a) || is_nan(b)) return {0, kInvalid};
  return {below(a, b) ? 1u : 0u, 0};
}

FloatResult less_or_equal(std::uint32_t a, std::uint32_t b) {
  if (is_nan(a) || is_nan(b)) return {0, kInvalid};
  return {!below(b, a) ? 1u : 0u, 0};
}

FloatResult to_int(std::uint32_t a, Rounding rounding) { return to_integer(a, true, rounding); }
FloatResult to_unsigned(std::uint32_t a, Rounding rounding) {
  return to_integer(a, false, rounding);
}

FloatResult from_int(std::uint32_t a, Rounding rounding) {
  const bool sign = sign_of(a);
  return from_magnitude(sign, sign ? 0 - a : a, rounding);
}

FloatResult from_unsigned(std::uint32_t a, Rounding rounding) {
  return from_magnitude(false, a, rounding);
}

std::uint32_t classify(std::uint32_t a) {
  const bool sign = sign_of(a);
  if (is_nan(a)) return is_signalling(a) ? 1u << 8 : 1u << 9;
  if (is_inf(a)) return sign ? 1u << 0 : 1u << 7;
  if (is_zero(a)) return sign ? 1u << 3 : 1u << 4;
  const bool subnormal = (a & kInfinity) == 0;
  if (subnormal) return sign ? 1u << 2 : 1u << 5;
  return sign ? 1u << 1 : 1u << 6;
}

}  // namespace espalier::hw::dv
