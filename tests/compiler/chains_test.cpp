// Chains of rows: their choice against brute force, and what the validator of rows finds.
#include "espalier/compiler/chains.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/compiler/compile.hpp"
#include "espalier/compiler/differentiate.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::compiler {
namespace {

using ::testing::HasSubstr;
using testing::window;

constexpr std::string_view kBefore[] = {"prune", "slice", "reorder", "bit-masks", "in-place"};

TrainingGraph before_streaming(const ir::Graph& graph, const plan::UpdatePlan& plan, bool fed) {
  TrainingGraph training = differentiate(graph, plan, 1);
  training.fed = fed;
  EXPECT_TRUE(run_passes(training, *only(kBefore)).ok());
  return training;
}

std::int64_t peak_of(TrainingGraph graph) {
  assign_scratch(graph);
  return lower_bound(arena_problem(graph).problem);
}

// The lowest peak of all ways to cut the forward pass into chains.
std::int64_t lowest_peak(const TrainingGraph& graph, int from, std::vector<Segment>& chains) {
  const bool whole = from >= graph.backward_begin;
  if (whole) {
    if (graph.fed && (chains.empty() || chains.front().first > 0)) return INT64_MAX;
    TrainingGraph cut = graph;
    make_chains(cut, chains);
    return peak_of(std::move(cut));
  }
  std::int64_t lowest = lowest_peak(graph, from + 1, chains);
  for (int last = from + (graph.fed && from == 0 ? 0 : 1); last < graph.backward_begin; ++last) {
    if (!can_chain(graph, {from, last})) continue;
    chains.push_back({from, last});
    lowest = std::min(lowest, lowest_peak(graph, last + 1, chains));
    chains.pop_back();
  }
  return lowest;
}

TEST(Chains, AreChosenAsBruteForceWould) {
  int streamed = 0;
  int fed_networks = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const ir::Graph graph = testing::random_tower(seed);
    if (graph.ops.size() > 8) continue;
    Rng rng{seed, 7};
    const plan::UpdatePlan plan =
        seed % 3 == 0 ? plan::head_only(graph) : testing::random_plan(graph, rng);
    for (const bool fed : {false, true}) {
      const TrainingGraph before = before_streaming(graph, plan, fed);
      std::vector<Segment> chains;
      const std::int64_t best = lowest_peak(before, 0, chains);
      TrainingGraph chosen = before;
      stream_lowest(chosen);
      if (best == INT64_MAX) {
        EXPECT_TRUE(chosen.chains.empty());
        continue;
      }
      streamed += chosen.chains.empty() ? 0 : 1;
      fed_networks += fed ? 1 : 0;
      // Temporary memory and the distance of output and input are estimated while choosing.
      EXPECT_LE(peak_of(chosen), best + best / 50 + 96) << "seed " << seed << " fed " << fed;
      EXPECT_GE(peak_of(chosen), best) << "seed " << seed << " fed " << fed;
      TrainingGraph quicker = before;
      stream(quicker);
      EXPECT_LE(peak_of(quicker), best + best / 12 + best / 50 + 96) << "seed " << seed;
    }
  }
  EXPECT_GT(streamed, 100);
  EXPECT_GT(fed_networks, 50);
}

// A conv, an expanding pair and a projection with a residual around them.
ir::Graph bottleneck() {
  testing::GraphBuilder b(5, {24, 16, 3});
  const ir::TensorId stem = b.conv(b.input(), 8, window(3, 1, 1));
  ir::TensorId x = b.conv(stem, 32, window(1, 1, 0));
  x = b.conv(x, 32, window(5, 1, 2), 32);
  x = b.conv(x, 8, window(1, 1, 0));
  x = b.add(stem, x);
  x = b.conv(x, 4, window(3, 2, 1));
  x = b.conv(x, 4, window(3, 2, 1));
  return b.finish(b.global_pool(x), 3);
}

// The rows that a residual waits for are kept, and no more than that.
TEST(Chains, KeepWhatResidualsWaitFor) {
  const ir::Graph graph = bottleneck();
  TrainingGraph training = before_streaming(graph, plan::head_only(graph), false);
  make_chains(training, {{0, 6}});
  const auto rows = [&](int node) {
    return training.value(training.nodes[static_cast<std::size_t>(node)].outputs[0]).rows;
  };
  EXPECT_EQ(rows(0), 3);  // the branch is two rows behind
  EXPECT_EQ(rows(1), 5);
  EXPECT_EQ(rows(2), 1);
  EXPECT_EQ(rows(3), 1);
  EXPECT_EQ(rows(4), 3);
  EXPECT_EQ(rows(5), 3);
  EXPECT_EQ(rows(6), 0);  // what is read behind the chain exists as a whole
}

// The validator sees what the choice of windows and of the distance to the input must guarantee.
TEST(Chains, RowsThatOverlapAreFound) {
  const ir::Graph graph = bottleneck();
  TrainingGraph training = before_streaming(graph, plan::head_only(graph), false);
  make_chains(training, {{0, 4}});  // its rows grow faster than the input's are read
  ASSERT_EQ(training.input_over, training.nodes[4].outputs[0]);
  const Chain& chain = training.chains.front();
  std::int64_t shift = training.input_shift;
  ASSERT_GT(shift, 0);
  const auto offset = [&](ValueId id) {
    if (id == training.input_over) return std::int64_t{0};
    return id == training.input ? shift : (std::int64_t{id} + 1) << 16;
  };
  const Status apart = check_rows(training, chain, offset);
  EXPECT_TRUE(apart.ok()) << apart.error().message();
  shift -= 4;
  const Status closer = check_rows(training, chain, offset);
  ASSERT_FALSE(closer.ok());
  EXPECT_THAT(closer.error().message(), HasSubstr("are still to be read"));
  shift += 4;
  int windows = 0;
  for (Value& value : training.values) {
    if (value.rows < 2) continue;
    ++windows;
    value.elements -= value.elements / value.rows;
    --value.rows;
    const Status fewer = check_rows(training, chain, offset);
    ASSERT_FALSE(fewer.ok());
    EXPECT_THAT(fewer.error().message(), HasSubstr("does not run with its windows"));
    value.elements += value.elements / value.rows;
    ++value.rows;
  }
  EXPECT_EQ(windows, 2);
}

TEST(Chains, WhatCannotComeByRowsIsRefused) {
  testing::GraphBuilder b(3, {9, 9, 2});
  const ir::TensorId x = b.mul(b.input(), b.gate(b.input()));
  const ir::Graph graph = b.finish(b.global_pool(x), 3);
  CompileOptions options;
  options.fed = true;
  const Result<Program> program = compile(graph, plan::head_only(graph), options);
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(program.error().message(), HasSubstr("cannot come by rows"));
}

}  // namespace
}  // namespace espalier::compiler
