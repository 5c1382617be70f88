#include "espalier/kernels/reference.hpp"

#include <algorithm>
#include <limits>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/kernels/elementwise.hpp"

namespace espalier::kernels::reference {
namespace {

using Maps = std::span<const std::vector<std::int8_t>>;

struct Context {
  const ir::Graph& graph;
  const ir::Op& op;
  ir::Shape in;
  ir::Shape out;

  [[nodiscard]] ir::Quantization in_quantization(std::size_t i) const {
    return graph.tensor(op.inputs[i]).quantization;
  }
  [[nodiscard]] ir::Quantization out_quantization() const {
    return graph.tensor(op.output).quantization;
  }
  [[nodiscard]] double factor(std::size_t input) const {
    return static_cast<double>(in_quantization(input).scale) / out_quantization().scale;
  }
};

std::size_t index(const ir::Shape& shape, int y, int x, int c) {
  return (static_cast<std::size_t>(y) * static_cast<std::size_t>(shape.width) +
          static_cast<std::size_t>(x)) *
             static_cast<std::size_t>(shape.channels) +
         static_cast<std::size_t>(c);
}

// Calls visit(input y, input x, tap) for the taps of a window that lie inside the input.
template <typename Visit>
void for_each_tap(const ir::Window& w, const ir::Shape& in, int oy, int ox, Visit visit) {
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    for (int kx = 0; kx < w.kernel_w; ++kx) {
      const int y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
      const int x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
      if (y >= 0 && y < in.height && x >= 0 && x < in.width) visit(y, x, ky * w.kernel_w + kx);
    }
  }
}

template <typename Visit>
void for_each_output(const ir::Shape& out, Visit visit) {
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      for (int c = 0; c < out.channels; ++c) visit(y, x, c);
    }
  }
}

void put(Forward& result, std::size_t at, std::int64_t value, const ir::Op& op) {
  const std::int64_t clamped = std::clamp<std::int64_t>(value, op.clamp_low, op.clamp_high);
  result.output[at] = static_cast<std::int8_t>(clamped);
  result.mask[at] = value == clamped ? 1 : 0;
}

// Calls visit(input y, input x, input channel, weight index) for the products of one output.
template <typename Visit>
void for_each_product(const ir::Conv2D& conv, const ir::Shape& in, int oy, int ox, int oc,
                      Visit visit) {
  const int per_group = conv.in_per_group();
  const int first = oc / (conv.out_channels / conv.groups) * per_group;
  for_each_tap(conv.window, in, oy, ox, [&](int y, int x, int tap) {
    for (int c = 0; c < per_group; ++c) {
      const int taps = conv.window.kernel_h * conv.window.kernel_w;
      visit(y, x, first + c, static_cast<std::size_t>((oc * taps + tap) * per_group + c));
    }
  });
}

void run(const ir::Conv2D& conv, const Context& k, Maps inputs, Forward& result) {
  const ir::Quantization in = k.in_quantization(0);
  for_each_output(k.out, [&](int oy, int ox, int oc) {
    std::int32_t acc = 0;
    for_each_product(conv, k.in, oy, ox, oc, [&](int y, int x, int c, std::size_t w) {
      acc += (inputs[0][index(k.in, y, x, c)] - in.zero_point) * conv.weights[w];
    });
    const auto channel = static_cast<std::size_t>(oc);
    const ir::FixedPoint fixed =
        ir::make_fixed_point(static_cast<double>(in.scale) * conv.weight_scales[channel] /
                             static_cast<double>(k.out_quantization().scale));
    put(result, index(k.out, oy, ox, oc),
        ir::apply(fixed, ir::saturating_add(acc, conv.bias[channel])) +
            k.out_quantization().zero_point,
        k.op);
  });
}

void run_rescaling(const Context& k, Maps inputs, Forward& result) {
  const bool two = inputs.size() > 1;
  const ir::FixedPointPair fixed = ir::make_fixed_point_pair(k.factor(0), two ? k.factor(1) : 0.0);
  for (std::size_t i = 0; i < result.output.size(); ++i) {
    std::int64_t sum =
        std::int64_t{inputs[0][i] - k.in_quantization(0).zero_point} * fixed.multiplier_a;
    if (two) {
      sum += std::int64_t{inputs[1][i] - k.in_quantization(1).zero_point} * fixed.multiplier_b;
    }
    put(result, i, ir::rounding_shift(sum, fixed.shift) + k.out_quantization().zero_point, k.op);
  }
}

void run(const ir::Add&, const Context& k, Maps inputs, Forward& result) {
  run_rescaling(k, inputs, result);
}
void run(const ir::Rescale&, const Context& k, Maps inputs, Forward& result) {
  run_rescaling(k, inputs, result);
}

// Element of the second operand that output i of a product is made with.
std::size_t gate_index(const Context& k, std::size_t i) {
  return ir::is_gate(k.graph, k.op) ? i % static_cast<std::size_t>(k.out.channels) : i;
}

void run(const ir::Mul&, const Context& k, Maps inputs, Forward& result) {
  const ir::FixedPoint fixed = ir::make_fixed_point(ir::product_factor(k.graph, k.op));
  for (std::size_t i = 0; i < result.output.size(); ++i) {
    const int a = inputs[0][i] - k.in_quantization(0).zero_point;
    const int b = inputs[1][gate_index(k, i)] - k.in_quantization(1).zero_point;
    put(result, i, ir::apply(fixed, a * b) + k.out_quantization().zero_point, k.op);
  }
}

// Calls visit(operand, output index, input index) for every element of a concatenation.
template <typename Visit>
void for_each_joined(const Context& k, Visit visit) {
  int first = 0;
  for (std::size_t operand = 0; operand < k.op.inputs.size(); ++operand) {
    const ir::Shape shape = k.graph.tensor(k.op.inputs[operand]).shape;
    for_each_output(shape, [&](int y, int x, int c) {
      visit(operand, index(k.out, y, x, first + c), index(shape, y, x, c));
    });
    first += shape.channels;
  }
}

void run(const ir::Concat&, const Context& k, Maps inputs, Forward& result) {
  for_each_joined(k, [&](std::size_t operand, std::size_t out, std::size_t in) {
    result.output[out] = inputs[operand][in];
    result.mask[out] = 1;
  });
}

void run(const ir::Select& select, const Context& k, Maps inputs, Forward& result) {
  for_each_output(k.out, [&](int y, int x, int c) {
    const int from = select.channels[static_cast<std::size_t>(c)];
    put(result, index(k.out, y, x, c), inputs[0][index(k.in, y, x, from)], k.op);
  });
}

void run(const ir::Lookup& table, const Context&, Maps inputs, Forward& result) {
  for (std::size_t i = 0; i < result.output.size(); ++i) {
    result.output[i] = table.output(inputs[0][i]);
    result.mask[i] = 1;
  }
}

void run(const ir::AveragePool& pool, const Context& k, Maps inputs, Forward& result) {
  for_each_output(k.out, [&](int oy, int ox, int c) {
    std::int32_t sum = 0;
    std::int32_t count = 0;
    for_each_tap(pool.window, k.in, oy, ox, [&](int y, int x, int) {
      sum += inputs[0][index(k.in, y, x, c)];
      ++count;
    });
    std::int64_t mean = 0;
    if (ir::requantizes_mean(k.graph, k.op)) {
      mean = requantized_mean(sum - count * k.in_quantization(0).zero_point, count,
                              ir::make_fixed_point(k.factor(0))) +
             k.out_quantization().zero_point;
    } else {
      mean = rounded_mean(sum, count, pool.rounding);
    }
    put(result, index(k.out, oy, ox, c), mean, k.op);
  });
}

void run(const ir::MaxPool& pool, const Context& k, Maps inputs, Forward& result) {
  for_each_output(k.out, [&](int oy, int ox, int c) {
    int best = std::numeric_limits<int>::min();
    for_each_tap(pool.window, k.in, oy, ox, [&](int y, int x, int) {
      best = std::max<int>(best, inputs[0][index(k.in, y, x, c)]);
    });
    put(result, index(k.out, oy, ox, c), best, k.op);
  });
}

using Mask = std::span<const std::uint8_t>;
using Gradient = std::span<const double>;

void differentiate(const ir::Conv2D& conv, const Context& k, Maps inputs, Mask mask, Gradient dy,
                   Backward& result) {
  result.weights.assign(conv.weights.size(), 0.0);
  result.bias.assign(conv.bias.size(), 0.0);
  const int zero_point = k.in_quantization(0).zero_point;
  for_each_output(k.out, [&](int oy, int ox, int oc) {
    const std::size_t at = index(k.out, oy, ox, oc);
    const auto channel = static_cast<std::size_t>(oc);
    const double g = mask[at] != 0 ? dy[at] * (k.factor(0) * conv.weight_scales[channel]) : 0.0;
    result.bias[channel] += g;
    for_each_product(conv, k.in, oy, ox, oc, [&](int y, int x, int c, std::size_t w) {
      const std::size_t in = index(k.in, y, x, c);
      result.weights[w] += g * (inputs[0][in] - zero_point);
      result.inputs[0][in] += g * conv.weights[w];
    });
  });
}

void differentiate_rescaling(const Context& k, Mask mask, Gradient dy, Backward& result) {
  for (std::size_t input = 0; input < result.inputs.size(); ++input) {
    for (std::size_t i = 0; i < dy.size(); ++i) {
      result.inputs[input][i] = mask[i] != 0 ? dy[i] * k.factor(input) : 0.0;
    }
  }
}

void differentiate(const ir::Add&, const Context& k, Maps, Mask mask, Gradient dy,
                   Backward& result) {
  differentiate_rescaling(k, mask, dy, result);
}
void differentiate(const ir::Rescale&, const Context& k, Maps, Mask mask, Gradient dy,
                   Backward& result) {
  differentiate_rescaling(k, mask, dy, result);
}

void differentiate(const ir::Mul&, const Context& k, Maps inputs, Mask mask, Gradient dy,
                   Backward& result) {
  const double factor = ir::product_factor(k.graph, k.op);
  for (std::size_t i = 0; i < dy.size(); ++i) {
    if (mask[i] == 0) continue;
    const std::size_t gate = gate_index(k, i);
    result.inputs[0][i] += dy[i] * factor * (inputs[1][gate] - k.in_quantization(1).zero_point);
    result.inputs[1][gate] += dy[i] * factor * (inputs[0][i] - k.in_quantization(0).zero_point);
  }
}

void differentiate(const ir::Concat&, const Context& k, Maps, Mask, Gradient dy, Backward& result) {
  for_each_joined(k, [&](std::size_t operand, std::size_t out, std::size_t in) {
    result.inputs[operand][in] = dy[out];
  });
}

void differentiate(const ir::Select& select, const Context& k, Maps, Mask, Gradient dy,
                   Backward& result) {
  for_each_output(k.out, [&](int y, int x, int c) {
    const int from = select.channels[static_cast<std::size_t>(c)];
    result.inputs[0][index(k.in, y, x, from)] += dy[index(k.out, y, x, c)];
  });
}

void differentiate(const ir::Lookup& table, const Context&, Maps inputs, Mask, Gradient dy,
                   Backward& result) {
  for (std::size_t i = 0; i < dy.size(); ++i) {
    result.inputs[0][i] = dy[i] * static_cast<double>(table.derivative(inputs[0][i]));
  }
}

void differentiate(const ir::AveragePool& pool, const Context& k, Maps, Mask mask, Gradient dy,
                   Backward& result) {
  for_each_output(k.out, [&](int oy, int ox, int c) {
    int count = 0;
    for_each_tap(pool.window, k.in, oy, ox, [&](int, int, int) { ++count; });
    const std::size_t at = index(k.out, oy, ox, c);
    if (mask[at] == 0) return;
    for_each_tap(pool.window, k.in, oy, ox, [&](int y, int x, int) {
      result.inputs[0][index(k.in, y, x, c)] += dy[at] * k.factor(0) / count;
    });
  });
}

void differentiate(const ir::MaxPool& pool, const Context& k, Maps inputs, Mask, Gradient dy,
                   Backward& result) {
  for_each_output(k.out, [&](int oy, int ox, int c) {
    bool found = false;
    std::size_t winner = 0;
    for_each_tap(pool.window, k.in, oy, ox, [&](int y, int x, int) {
      const std::size_t at = index(k.in, y, x, c);
      if (!found || inputs[0][at] > inputs[0][winner]) winner = at;
      found = true;
    });
    result.inputs[0][winner] += dy[index(k.out, oy, ox, c)];
  });
}

Context context(const ir::Graph& graph, const ir::Op& op) {
  return {graph, op, graph.tensor(op.inputs[0]).shape, graph.tensor(op.output).shape};
}

}  // namespace

Forward forward(const ir::Graph& graph, const ir::Op& op, Maps inputs) {
  const Context k = context(graph, op);
  Forward result;
  result.output.resize(static_cast<std::size_t>(k.out.elements()));
  result.mask.resize(result.output.size());
  std::visit([&](const auto& params) { run(params, k, inputs, result); }, op.params);
  return result;
}

Backward backward(const ir::Graph& graph, const ir::Op& op, Maps inputs, Mask mask, Gradient dy) {
  const Context k = context(graph, op);
  Backward result;
  for (const std::vector<std::int8_t>& map : inputs) result.inputs.emplace_back(map.size(), 0.0);
  std::visit([&](const auto& params) { differentiate(params, k, inputs, mask, dy, result); },
             op.params);
  return result;
}

}  // namespace espalier::kernels::reference
