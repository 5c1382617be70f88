// Chooses the input channels that a ratio trains. Reads int8 weights only.
#include <algorithm>
#include <iterator>
#include <numeric>

#include "espalier/plan/update_plan.hpp"

namespace espalier::plan {
namespace {

// Squares of int8 sum exactly in 64 bits, so equal norms are equal numbers and the order of
// channels does not hang on rounding.
std::vector<std::int64_t> squared_norms(const ir::Conv2D& conv) {
  std::vector<std::int64_t> norms(static_cast<std::size_t>(conv.in_channels), 0);
  const int taps = conv.window.kernel_h * conv.window.kernel_w;
  const int in_per_group = conv.in_per_group();
  const int out_per_group = conv.out_channels / conv.groups;
  const std::int8_t* weight = conv.weights.data();
  for (int out = 0; out < conv.out_channels; ++out) {
    std::int64_t* group = norms.data() + std::ptrdiff_t{out / out_per_group} * in_per_group;
    for (int tap = 0; tap < taps; ++tap) {
      for (int in = 0; in < in_per_group; ++in, ++weight) group[in] += *weight * *weight;
    }
  }
  return norms;
}

// All input channels in descending norm; of equal norms the lower comes first.
std::vector<int> by_norm(const ir::Conv2D& conv) {
  const std::vector<std::int64_t> norms = squared_norms(conv);
  std::vector<int> order(norms.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return norms[static_cast<std::size_t>(a)] > norms[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace

int channel_count(int in_channels, double ratio) {
  return static_cast<int>(static_cast<double>(in_channels) * ratio);
}

std::vector<int> select_channels(const ir::Conv2D& conv, double ratio) {
  std::vector<int> order = by_norm(conv);
  order.resize(static_cast<std::size_t>(channel_count(conv.in_channels, ratio)));
  std::sort(order.begin(), order.end());
  return order;
}

void add_rotation(WeightUpdate& update, const ir::Graph& graph) {
  const int op = ir::conv_ops(graph)[static_cast<std::size_t>(update.conv)];
  const std::vector<int> order = by_norm(ir::conv(graph, op));
  const std::size_t count = update.channels.size();
  if (count == 0) return;
  std::vector<std::vector<int>> sets;
  for (std::size_t first = 0; first < order.size(); first += count) {
    std::vector<int>& set = sets.emplace_back();
    for (std::size_t i = first; i < first + count; ++i) set.push_back(order[i % order.size()]);
    std::sort(set.begin(), set.end());
  }
  update.channels = std::move(sets.front());
  update.next_channels.assign(std::make_move_iterator(sets.begin() + 1),
                              std::make_move_iterator(sets.end()));
}

void add_rotation(UpdatePlan& plan, const ir::Graph& graph) {
  for (WeightUpdate& update : plan.weights) add_rotation(update, graph);
}

}  // namespace espalier::plan
