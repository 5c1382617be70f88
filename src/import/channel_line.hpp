// Arithmetic with constants, one number a channel, as the integer arithmetic of a convolution of
// one weight a channel.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "espalier/ir/curve.hpp"
#include "espalier/ir/graph.hpp"

namespace espalier::import_detail {

/// y = x * factor + offset, or x / divisor + offset; numbers are one, or one a channel. In single
/// precision, as runtimes compute it.
struct ChannelNumbers {
  std::vector<float> factors;
  std::vector<float> offsets{0.0F};
  bool divides = false;  ///< factors are divisors

  [[nodiscard]] double factor(std::size_t channel) const;
  [[nodiscard]] double offset(std::size_t channel) const;
  /// Of one channel.
  [[nodiscard]] ir::Curve applied(const ir::Curve& x, std::size_t channel) const;
};

/// The table of x * factor + offset, halves up as integer arithmetic rounds them.
ir::Lookup line_table(double factor, double offset, const ir::Quantization& in,
                      const ir::Quantization& out);

/// round((weight * (x - zero point) + bias) * (input scale * scale / output scale)) + zero point.
struct ChannelLine {
  std::int8_t weight = 0;
  std::int32_t bias = 0;
  float scale = 1;
};

/// The line that equals a table of 256 outputs within clamps, whatever the input; `factor` and
/// `offset` are those of the real line. The bias alone would round the offset to a fraction of the
/// input's unit; weight, bias and scale together almost always meet the table, and of those that do
/// the one that keeps furthest from its roundings is taken. nullopt where none does.
std::optional<ChannelLine> fit_line(const std::array<std::int8_t, 256>& table, double factor,
                                    double offset, const ir::Quantization& in,
                                    const ir::Quantization& out, int low, int high);

}  // namespace espalier::import_detail
