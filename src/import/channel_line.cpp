#include "channel_line.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/ir/fixed_point.hpp"

namespace espalier::import_detail {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Smaller weights would be coarse to train.
constexpr int kSmallestWeight = 32;
constexpr int kLargestWeight = 127;

struct Search {
  const std::array<std::int8_t, 256>& table;
  const ir::Quantization& in;
  const ir::Quantization& out;
  int low;
  int high;

  // What a unit of weight * (x - zero point) + bias may be worth in units of the output: at least
  // first, less than second.
  [[nodiscard]] std::pair<double, double> range(std::int64_t weight, std::int64_t bias) const {
    double least = 0;
    double most = ir::kMaxFixedPointFactor;
    for (int q = -128; q <= 127; ++q) {
      const int y = table[static_cast<std::size_t>(q + 128)];
      const double below = y > low ? y - out.zero_point - 0.5 : -kInfinity;
      const double above = y < high ? y - out.zero_point + 0.5 : kInfinity;
      const auto units = static_cast<double>(weight * (q - in.zero_point) + bias);
      if (units == 0) {
        if (below > 0 || above <= 0) return {0, 0};
        continue;
      }
      least = std::max(least, (units > 0 ? below : above) / units);
      most = std::min(most, (units > 0 ? above : below) / units);
      if (least >= most) return {0, 0};
    }
    return {least, most};
  }

  // In the arithmetic of the kernels.
  [[nodiscard]] bool meets(const ChannelLine& line) const {
    const double factor = static_cast<double>(in.scale) * line.scale / out.scale;
    if (!std::isfinite(line.scale) || line.scale <= 0 || factor >= ir::kMaxFixedPointFactor) {
      return false;
    }
    const ir::FixedPoint fixed = ir::make_fixed_point(factor);
    for (int q = -128; q <= 127; ++q) {
      const std::int32_t acc = ir::saturating_add(line.weight * (q - in.zero_point), line.bias);
      const std::int64_t y = ir::apply(fixed, acc) + out.zero_point;
      if (std::clamp<std::int64_t>(y, low, high) != table[static_cast<std::size_t>(q + 128)]) {
        return false;
      }
    }
    return true;
  }
};

// One for all channels, or one a channel.
float of_channel(const std::vector<float>& numbers, std::size_t channel) {
  return numbers[numbers.size() == 1 ? 0 : channel];
}

}  // namespace

double ChannelNumbers::factor(std::size_t channel) const {
  const double number = of_channel(factors, channel);
  return divides ? 1 / number : number;
}

double ChannelNumbers::offset(std::size_t channel) const { return of_channel(offsets, channel); }

ir::Curve ChannelNumbers::applied(const ir::Curve& x, std::size_t channel) const {
  const float number = of_channel(factors, channel);
  const float offset = of_channel(offsets, channel);
  if (!divides) return ir::then(x, ir::affine(number, offset));
  const ir::Curve divisor = ir::then(x, ir::affine(0, number));
  return ir::then(ir::quotient(x, divisor), ir::affine(1, offset));
}

ir::Lookup line_table(double factor, double offset, const ir::Quantization& in,
                      const ir::Quantization& out) {
  ir::Lookup table;
  for (int q = -128; q <= 127; ++q) {
    const double real = (q - in.zero_point) * static_cast<double>(in.scale) * factor + offset;
    const double unclamped = std::floor(real / out.scale + 0.5) + out.zero_point;
    const double clamped = std::clamp(unclamped, -128.0, 127.0);
    const auto i = static_cast<std::size_t>(q + 128);
    table.outputs[i] = static_cast<std::int8_t>(clamped);
    table.derivatives[i] =
        unclamped == clamped ? static_cast<float>(factor * in.scale / out.scale) : 0.0F;
  }
  return table;
}

std::optional<ChannelLine> fit_line(const std::array<std::int8_t, 256>& table, double factor,
                                    double offset, const ir::Quantization& in,
                                    const ir::Quantization& out, int low, int high) {
  const Search search{table, in, out, low, high};
  const double to_scale = static_cast<double>(out.scale) / in.scale;
  const auto constant = [&]() -> std::optional<ChannelLine> {
    // In units of a 64th of the output's.
    constexpr double kFar = 1 << 20;
    const double units = std::clamp(std::nearbyint(offset / out.scale), -kFar, kFar);
    const ChannelLine line{0, static_cast<std::int32_t>(64 * units),
                           static_cast<float>(to_scale / 64)};
    return search.meets(line) ? std::optional(line) : std::nullopt;
  };
  if (factor == 0) return constant();
  const double slope = std::abs(factor) / to_scale;  // of a unit of the input in the output's
  std::optional<ChannelLine> best;
  double margin = 0;
  for (int weight = kLargestWeight; weight >= kSmallestWeight; --weight) {
    const int w = factor > 0 ? weight : -weight;
    const double units = std::nearbyint(w * offset / (factor * in.scale));
    if (!(std::abs(units) < INT32_MAX / 2)) continue;
    for (const int step : {0, -1, 1}) {
      const auto bias = static_cast<std::int32_t>(units) + step;
      const auto [least, most] = search.range(w, bias);
      if (least >= most) continue;
      const double quarter = (std::min(most, 2 * least + slope / weight) - least) / 4;
      const double unit =
          std::clamp(slope / weight, least + quarter, std::max(least + quarter, most - quarter));
      const double room = std::min(unit - least, most - unit) / unit;
      const ChannelLine line{static_cast<std::int8_t>(w), bias,
                             static_cast<float>(unit * to_scale)};
      // Larger weights are finer to train.
      if (room <= 1.05 * margin || !search.meets(line)) continue;
      best = line;
      margin = room;
    }
  }
  return best ? best : constant();
}

}  // namespace espalier::import_detail
