#include "espalier/engine/gradient_use.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "espalier/compiler/narrow.hpp"
#include "runtime/espalier_integer_types.h"

namespace espalier::engine {
namespace {

using compiler::Element;
using compiler::Node;

int conv_index(const ir::Graph& graph, int op) {
  const std::vector<int> convs = ir::conv_ops(graph);
  return static_cast<int>(std::find(convs.begin(), convs.end(), op) - convs.begin());
}

}  // namespace

GradientWatch::GradientWatch(const compiler::Program& program) : program_(&program) {
  const compiler::TrainingGraph& graph = program.graph;
  for (int i = graph.backward_begin; i < static_cast<int>(graph.nodes.size()); ++i) {
    const Node& node = graph.nodes[static_cast<std::size_t>(i)];
    if (node.outputs[0] < 0) continue;
    const compiler::Value& made = graph.value(node.outputs[0]);
    if (made.role != compiler::Role::kScaledGradient || made.range < compiler::kFirstAdaptive) {
      continue;
    }
    const bool alone = node.kind == compiler::NodeKind::kMaskScale;
    watched_.push_back({i, node.outputs[0], alone ? node.inputs[1] : node.inputs[2], {}});
    watched_.back().use.conv = conv_index(*graph.forward, made.index);
  }
}

void GradientWatch::look(Engine& engine, int node) {
  const auto found = std::ranges::lower_bound(watched_, node, {}, &Watched::node);
  if (found == watched_.end() || found->node != node) return;
  const compiler::TrainingGraph& graph = program_->graph;
  const compiler::Value& value = graph.value(found->gradient);
  esp_q_range range;
  const std::span<const std::byte> ranges =
      static_cast<const Engine&>(engine).state(compiler::StateRole::kRanges, -1);
  std::memcpy(&range, ranges.data() + sizeof range * static_cast<std::size_t>(value.range),
              sizeof range);
  const int bits = compiler::gradient_bits(graph);
  const int most = (1 << bits) - 1;
  const bool cut_off = range.bits > bits;
  const std::int8_t* bytes = engine.activation(found->gradient);
  const auto* mask = reinterpret_cast<const std::uint8_t*>(engine.activation(found->mask));
  const bool in_bits = graph.value(found->mask).element == Element::kBitMask;
  GradientUse& use = found->use;
  use.exponent = range.exponent;
  for (std::int64_t i = 0; i < value.elements; ++i) {
    const bool passes = in_bits ? (mask[i >> 3] >> (i & 7) & 1) != 0 : mask[i] != 0;
    if (!passes) continue;
    int q = bytes[i];
    if (value.element == Element::kInt16) {
      std::int16_t wide = 0;
      std::memcpy(&wide, bytes + 2 * i, sizeof wide);
      q = wide;
    }
    ++use.elements;
    if (q == 0) ++use.zero;
    if (cut_off && std::abs(q) == most) ++use.saturated;
  }
}

std::vector<GradientUse> GradientWatch::found() const {
  std::vector<GradientUse> uses;
  for (const Watched& watched : watched_) uses.push_back(watched.use);
  std::ranges::sort(uses, {}, &GradientUse::conv);
  return uses;
}

}  // namespace espalier::engine
