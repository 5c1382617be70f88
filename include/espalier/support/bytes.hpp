// Sizes with their unit in the type.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "espalier/support/result.hpp"

namespace espalier {

/// A number of bytes.
struct Bytes {
  std::int64_t count = 0;

  constexpr Bytes() = default;
  constexpr explicit Bytes(std::int64_t n) : count(n) {}
  constexpr auto operator<=>(const Bytes&) const = default;
  [[nodiscard]] constexpr double kib() const { return static_cast<double>(count) / 1024.0; }
};

/// Parses `100KiB` (1024), `256KB` (1000), `1.5MiB`, `2MB` or a plain number of bytes.
Result<Bytes> parse_bytes(std::string_view text);

/// `102400` -> `100.00 KiB`.
std::string format_bytes(Bytes size);

}  // namespace espalier
