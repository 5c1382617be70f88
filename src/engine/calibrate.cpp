#include "espalier/engine/calibrate.hpp"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstring>
#include <vector>

#include "espalier/codegen/recorded_steps.hpp"
#include "espalier/compiler/narrow.hpp"
#include "runtime/espalier_integer_types.h"

namespace espalier::engine {
namespace {

// Exponents move one bit a step.
constexpr int kSteps = 64;
// Sums of gradients start with so many bits in use where every product is as large as can be.
constexpr int kSumBits = 28;

int ceil_log2(std::int64_t value) {
  return static_cast<int>(
      std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 1) - 1)));
}

// The range of the gradient that the sums of a convolution are of.
int range_behind(const compiler::TrainingGraph& graph, int op, bool weights) {
  for (const compiler::Node& node : graph.nodes) {
    const bool makes =
        weights ? node.kind == compiler::NodeKind::kWeightGradient ||
                      (node.kind == compiler::NodeKind::kDepthwiseBackward && node.inputs[1] >= 0)
                : node.kind == compiler::NodeKind::kBiasGradient;
    if (makes && node.op == op) return graph.value(node.inputs[0]).range;
  }
  return -1;
}

void start_sums(const compiler::TrainingGraph& graph, int sample_exponent,
                std::vector<std::int16_t>& exponents) {
  const int bits = graph.gradient == compiler::Element::kInt16 ? 15 : 7;
  const auto put = [&](const compiler::TrainedConv& t, bool weights) {
    const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(t.op)];
    const int most = bits + (weights ? 8 : 0) + ceil_log2(graph.accumulate) +
                     ceil_log2(graph.forward->tensor(op.output).shape.pixels());
    const int from = exponents[static_cast<std::size_t>(range_behind(graph, t.op, weights))];
    exponents[static_cast<std::size_t>(compiler::sum_range(graph, t.op, weights))] =
        static_cast<std::int16_t>(from + sample_exponent + most - kSumBits);
  };
  for (const compiler::TrainedConv& t : graph.trained) {
    if (t.bias) put(t, false);
    if (t.weights) put(t, true);
  }
}

}  // namespace

void calibrate(compiler::Program& program, const std::function<Placed(Engine&, int)>& place) {
  const auto ranges = static_cast<std::size_t>(compiler::range_count(program.graph));
  if (ranges <= compiler::kFirstAdaptive) return;
  program.exponents.clear();
  Engine engine(program, {.learning_rate = 0});
  std::vector<esp_q_range> now(ranges);
  int sample_exponent = INT_MIN;
  for (int step = 0; step < kSteps; ++step) {
    const Placed placed = place(engine, step);
    engine.train_step(placed.label, placed.first);
    const std::span<const std::byte> state = engine.state(compiler::StateRole::kRanges, -1);
    std::memcpy(now.data(), state.data(), state.size());
    sample_exponent = std::max<int>(sample_exponent, now[compiler::kSampleRange].exponent);
  }
  program.exponents.assign(ranges, 0);
  for (std::size_t i = compiler::kFirstAdaptive; i < ranges; ++i) {
    program.exponents[i] = now[i].exponent;
  }
  if (program.graph.accumulate > 1) {
    start_sums(program.graph, sample_exponent, program.exponents);
  }
}

void calibrate(compiler::Program& program) {
  if (compiler::range_count(program.graph) == 0) return;
  const ir::Graph& graph = *program.graph.forward;
  const std::int64_t bytes = graph.tensor(graph.input).shape.elements();
  const codegen::Samples samples = codegen::seeded_samples(1, kSteps, bytes, graph.head.classes);
  calibrate(program, [&](Engine& engine, int i) {
    std::copy_n(samples.inputs.begin() + i * bytes, bytes, engine.input());
    return Placed{samples.labels[static_cast<std::size_t>(i)], 0};
  });
}

}  // namespace espalier::engine
