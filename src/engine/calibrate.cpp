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

constexpr int kSamples = 16;
// Exponents of gradients lie no further from the sample's.
constexpr int kFurthest = 96;
// Sums of gradients start with so many bits in use where every product is as large as can be.
constexpr int kSumBits = 28;

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
  const auto samples = static_cast<unsigned>(graph.accumulate);
  const auto put = [&](const compiler::TrainedConv& t, bool weights) {
    const int range = range_behind(graph, t.op, weights);
    if (range < 0) return;  // no gradient reaches it
    const int most =
        compiler::sum_bits(graph, t.op, weights) + static_cast<int>(std::bit_width(samples - 1));
    const int from = exponents[static_cast<std::size_t>(range)];
    exponents[static_cast<std::size_t>(compiler::sum_range(graph, t.op, weights))] =
        static_cast<std::int16_t>(from + sample_exponent + most - kSumBits);
  };
  for (const compiler::TrainedConv& t : graph.trained) {
    if (t.bias) put(t, false);
    if (t.weights) put(t, true);
  }
}

constexpr std::int16_t kUnknown = INT16_MIN;

// The exponents that fit one sample, tensor by tensor: each node of the backward pass runs until
// its result has one.
class Fitting {
 public:
  Fitting(const compiler::Program& program, Engine& engine)
      : graph_(program.graph), engine_(engine), full_(compiler::gradient_bits(graph_)) {}

  // By range; kUnknown where all gradients are zero.
  std::vector<std::int16_t> run(int label) {
    engine_.begin_backward(label);
    std::vector<std::int16_t> found(static_cast<std::size_t>(graph_.gradient_ranges), kUnknown);
    for (int i = graph_.backward_begin; i < static_cast<int>(graph_.nodes.size()); ++i) {
      const compiler::Node& node = graph_.nodes[static_cast<std::size_t>(i)];
      if (node.kind == compiler::NodeKind::kAdaptRanges) continue;
      const int range = node.outputs[0] < 0 ? -1 : graph_.value(node.outputs[0]).range;
      if (range >= compiler::kFirstAdaptive) {
        found[static_cast<std::size_t>(range)] = fit(i, range);
      } else {
        engine_.run_node(i);
      }
    }
    found[compiler::kSampleRange] = get(compiler::kSampleRange).exponent;
    found.resize(static_cast<std::size_t>(compiler::range_count(graph_)), kUnknown);
    return found;
  }

 private:
  [[nodiscard]] esp_q_range get(int range) const {
    esp_q_range value;
    std::memcpy(&value, bytes(range), sizeof value);
    return value;
  }
  void set(int range, int exponent) {
    const esp_q_range value{static_cast<std::int16_t>(exponent), 0};
    std::memcpy(bytes(range), &value, sizeof value);
  }
  [[nodiscard]] std::byte* bytes(int range) const {
    return engine_.item(compiler::StateRole::kRanges, -1).data() +
           sizeof(esp_q_range) * static_cast<std::size_t>(range);
  }

  // Finer while all is zero, coarser while something is cut off; then as fine as holds all.
  std::int16_t fit(int node, int range) {
    const std::vector<float> before(engine_.arena().begin(), engine_.arena().end());
    for (int exponent = 0; exponent >= -kFurthest;) {
      std::copy(before.begin(), before.end(), engine_.arena().begin());
      set(range, exponent);
      engine_.run_node(node);
      const int bits = get(range).bits;
      if (bits == full_ || (bits == 0 && exponent == -kFurthest)) {
        return bits == 0 ? kUnknown : static_cast<std::int16_t>(exponent);
      }
      if (bits == 0) {
        exponent = std::max(-kFurthest, exponent - full_);
      } else if (bits > full_) {
        exponent += bits - full_;
      } else if (exponent == -kFurthest) {
        break;
      } else {
        exponent = std::max(-kFurthest, exponent + bits - full_);
      }
    }
    return static_cast<std::int16_t>(get(range).exponent);
  }

  const compiler::TrainingGraph& graph_;
  Engine& engine_;
  int full_;
};

}  // namespace

void calibrate(compiler::Program& program, const std::function<Placed(Engine&, int)>& place) {
  const auto ranges = static_cast<std::size_t>(compiler::range_count(program.graph));
  if (ranges <= compiler::kFirstAdaptive) return;
  program.exponents.clear();
  Engine engine(program, {.learning_rate = 0});
  std::vector<std::int16_t> largest(ranges, kUnknown);
  int sample_exponent = INT_MIN;
  for (int i = 0; i < kSamples; ++i) {
    const Placed placed = place(engine, i);
    engine.run_forward(placed.first);
    const std::vector<std::int16_t> found = Fitting(program, engine).run(placed.label);
    sample_exponent = std::max<int>(sample_exponent, found[compiler::kSampleRange]);
    for (std::size_t r = 0; r < ranges; ++r) largest[r] = std::max(largest[r], found[r]);
    engine.reset();
  }
  program.exponents.assign(ranges, 0);
  // What no sample has a gradient of is taken to be as its source.
  for (const compiler::Node& node : program.graph.nodes) {
    const int range = node.outputs[0] < 0 ? -1 : program.graph.value(node.outputs[0]).range;
    if (range < compiler::kFirstAdaptive) continue;
    const auto at = static_cast<std::size_t>(range);
    const auto source = static_cast<std::size_t>(program.graph.value(node.inputs[0]).range);
    program.exponents[at] = largest[at] == kUnknown ? program.exponents[source] : largest[at];
  }
  if (program.graph.accumulate > 1) {
    start_sums(program.graph, sample_exponent, program.exponents);
  }
}

void calibrate(compiler::Program& program) {
  if (compiler::range_count(program.graph) == 0) return;
  const ir::Graph& graph = *program.graph.forward;
  const std::int64_t bytes = graph.tensor(graph.input).shape.elements();
  const codegen::Samples samples = codegen::seeded_samples(1, kSamples, bytes, graph.head.classes);
  calibrate(program, [&](Engine& engine, int i) {
    std::copy_n(samples.inputs.begin() + i * bytes, bytes, engine.input());
    return Placed{samples.labels[static_cast<std::size_t>(i)], 0};
  });
}

}  // namespace espalier::engine
