#include "espalier/engine/gradient_use.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "espalier/compiler/narrow.hpp"
#include "host/scratch.hpp"
#include "runtime/espalier_integer_types.h"

namespace espalier::engine {
namespace {

using compiler::Element;
using compiler::Node;

int conv_index(const ir::Graph& graph, int op) {
  const std::vector<int> convs = ir::conv_ops(graph);
  return static_cast<int>(std::find(convs.begin(), convs.end(), op) - convs.begin());
}

// Eight elements at a time: what holds of one is the lowest bit of its byte.
constexpr std::uint64_t kLowest = 0x0101010101010101;

std::uint64_t nonzero(std::uint64_t bytes) {
  constexpr std::uint64_t kRest = 0x7F * kLowest;
  return (((bytes & kRest) + kRest) | bytes) >> 7 & kLowest;
}

std::uint64_t eight(const void* bytes) {
  std::uint64_t all = 0;
  std::memcpy(&all, bytes, sizeof all);
  return all;
}

std::int64_t count(std::uint64_t of_eight) {
  return static_cast<std::int64_t>(of_eight * kLowest >> 56);
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
  const std::uint8_t* passes =
      host::mask_bytes(reinterpret_cast<const std::uint8_t*>(engine.activation(found->mask)),
                       value.elements, graph.value(found->mask).element == Element::kBitMask);
  GradientUse& use = found->use;
  use.exponent = range.exponent;
  std::int64_t i = 0;
  if (!cut_off && value.element != Element::kInt16) {
    for (; i + 8 <= value.elements; i += 8) {
      const std::uint64_t passing = nonzero(eight(passes + i));
      use.elements += count(passing);
      use.zero += count(passing & ~nonzero(eight(bytes + i)));
    }
  }
  for (; i < value.elements; ++i) {
    if (passes[i] == 0) continue;
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
