// The training graph of one small network as text: as differentiation writes it, and after passes.
#include "espalier/compiler/passes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/compiler/differentiate.hpp"
#include "espalier/compiler/liveness.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::compiler {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// An inverted bottleneck with a residual: conv0 - conv1 (depthwise) - conv2, add, pool.
ir::Graph bottleneck() {
  testing::GraphBuilder b(7, {4, 4, 2});
  ir::TensorId x = b.conv(b.input(), 8, testing::window(1, 1, 0));
  x = b.conv(x, 8, testing::window(3, 1, 1), 8);
  x = b.conv(x, 2, testing::window(1, 1, 0));
  x = b.add(x, b.input());
  return b.finish(b.global_pool(x), 3);
}

// Biases of the last two convs and half of the channels of the last.
plan::UpdatePlan half_of_the_last(const ir::Graph& graph) {
  plan::UpdatePlan plan = *plan::bias_only(graph, 2);
  plan.weights.push_back(plan::make_weight_update(graph, 2, 0.5));
  return plan;
}

std::string text_after(const ir::Graph& graph, const plan::UpdatePlan& plan, PassSet set,
                       int accumulate = 1) {
  TrainingGraph training = differentiate(graph, plan, accumulate);
  const Status status = run_passes(training, set, [](const PassReport&, const TrainingGraph&) {});
  return status.ok() ? to_text(training) : status.error().message();
}

PassSet only_passes(std::initializer_list<std::string_view> names) {
  return *only(std::span(names.begin(), names.size()));
}

TEST(Differentiate, WritesTheWholeStep) {
  const ir::Graph graph = bottleneck();
  EXPECT_EQ(text_after(graph, half_of_the_last(graph), 0), R"(training_graph "random" accumulate=1
  train conv1 bias
  train conv2 bias weights=4/8
  input %input i8[32]
forward:
  %t1 i8[128], %mask:conv0 mask8[128] = conv.forward conv0(%input)
  %t2 i8[128], %mask:conv1 mask8[128] = conv.forward conv1(%t1)
  %t3 i8[32], %mask:conv2 mask8[32] = conv.forward conv2(%t2)
  %t4 i8[32], %mask:op3 mask8[32] = add.forward op3(%t3, %input)
  %t5 i8[2] = average_pool.forward op4(%t4)
  head.forward head(%t5)
backward:
  %d:logits f32[3] = loss.gradient head()
  %d:t5 f32[2] = head.input_gradient head(%d:logits)
  %dW:head f32[6], %dB:head f32[3] = head.gradient head(%d:logits, %t5)
  %d:t4 f32[32] = pool.gradient op4(%d:t5)
  %d:t3 f32[32] = mask_scale op3.0(%d:t4, %mask:op3)
  %g:conv2 f32[32] = mask_scale conv2.0(%d:t3, %mask:conv2)
  %dB:conv2 f32[2] = bias_gradient conv2(%g:conv2)
  %dW:conv2 f32[16] = weight_gradient conv2(%g:conv2, %t2)
  %d:t2 f32[128] = input_gradient conv2(%g:conv2)
  %g:conv1 f32[128] = mask_scale conv1.0(%d:t2, %mask:conv1)
  %dB:conv1 f32[8] = bias_gradient conv1(%g:conv1)
  %dW:conv1 f32[72] = weight_gradient conv1(%g:conv1, %t1)
  %d:t1 f32[128] = input_gradient conv1(%g:conv1)
  %g:conv0 f32[128] = mask_scale conv0.0(%d:t1, %mask:conv0)
  %dB:conv0 f32[8] = bias_gradient conv0(%g:conv0)
  %dW:conv0 f32[16] = weight_gradient conv0(%g:conv0, %input)
  apply.bias conv2(%dB:conv2)
  apply.bias conv1(%dB:conv1)
  apply.weights conv2(%dW:conv2)
  apply.head head(%dW:head, %dB:head)
)");
}

TEST(Passes, PruneKeepsWhatTrains) {
  const ir::Graph graph = bottleneck();
  EXPECT_EQ(text_after(graph, half_of_the_last(graph), only_passes({"prune"})),
            R"(training_graph "random" accumulate=1
  train conv1 bias
  train conv2 bias weights=4/8
  input %input i8[32]
forward:
  %t1 i8[128] = conv.forward conv0(%input)
  %t2 i8[128], %mask:conv1 mask8[128] = conv.forward conv1(%t1)
  %t3 i8[32], %mask:conv2 mask8[32] = conv.forward conv2(%t2)
  %t4 i8[32], %mask:op3 mask8[32] = add.forward op3(%t3, %input)
  %t5 i8[2] = average_pool.forward op4(%t4)
  head.forward head(%t5)
backward:
  %d:logits f32[3] = loss.gradient head()
  %d:t5 f32[2] = head.input_gradient head(%d:logits)
  %dW:head f32[6], %dB:head f32[3] = head.gradient head(%d:logits, %t5)
  %d:t4 f32[32] = pool.gradient op4(%d:t5)
  %d:t3 f32[32] = mask_scale op3.0(%d:t4, %mask:op3)
  %g:conv2 f32[32] = mask_scale conv2.0(%d:t3, %mask:conv2)
  %dB:conv2 f32[2] = bias_gradient conv2(%g:conv2)
  %dW:conv2 f32[16] = weight_gradient conv2(%g:conv2, %t2)
  %d:t2 f32[128] = input_gradient conv2(%g:conv2)
  %g:conv1 f32[128] = mask_scale conv1.0(%d:t2, %mask:conv1)
  %dB:conv1 f32[8] = bias_gradient conv1(%g:conv1)
  apply.bias conv2(%dB:conv2)
  apply.bias conv1(%dB:conv1)
  apply.weights conv2(%dW:conv2)
  apply.head head(%dW:head, %dB:head)
)");
}

TEST(Passes, AllTogether) {
  const ir::Graph graph = bottleneck();
  EXPECT_EQ(text_after(graph, half_of_the_last(graph), kAllPasses),
            R"(training_graph "random" accumulate=1
  train conv1 bias
  train conv2 bias weights=4/8 sliced
  input %input i8[32]
forward:
  %t1 i8[128] = conv.forward conv0(%input)
  %t2 i8[128] over %t1, %mask:conv1 mask1[128] = conv.forward conv1(%t1)
  %saved:conv2 i8[64] = save_channels conv2(%t2)
  %t3 i8[32], %mask:conv2 mask1[32] = conv.forward conv2(%t2)
  %t4 i8[32] over %t3, %mask:op3 mask1[32] = add.forward op3(%t3, %input)
  %t5 i8[2] = average_pool.forward op4(%t4)
  head.forward head(%t5)
backward:
  %d:logits f32[3] = loss.gradient head()
  %d:t5 f32[2] = head.input_gradient head(%d:logits)
  head.gradient head(%d:logits, %t5) apply
  %d:t4 f32[32] = pool.gradient op4(%d:t5)
  %d:t3 f32[32] over %d:t4 = mask_scale op3.0(%d:t4, %mask:op3)
  %g:conv2 f32[32] over %d:t3 = mask_scale conv2.0(%d:t3, %mask:conv2)
  bias_gradient conv2(%g:conv2) apply
  %d:t2 f32[128] = input_gradient conv2(%g:conv2)
  weight_gradient conv2(%g:conv2, %saved:conv2) apply
  %g:conv1 f32[128] over %d:t2 = mask_scale conv1.0(%d:t2, %mask:conv1)
  bias_gradient conv1(%g:conv1) apply
)");
}

TEST(Passes, SumsOverSamplesAreUpdatedApart) {
  const ir::Graph graph = bottleneck();
  EXPECT_EQ(text_after(graph, half_of_the_last(graph), kAllPasses, 4),
            R"(training_graph "random" accumulate=4
  train conv1 bias
  train conv2 bias weights=4/8 sliced
  input %input i8[32]
forward:
  %t1 i8[128] = conv.forward conv0(%input)
  %t2 i8[128] over %t1, %mask:conv1 mask1[128] = conv.forward conv1(%t1)
  %saved:conv2 i8[64] = save_channels conv2(%t2)
  %t3 i8[32], %mask:conv2 mask1[32] = conv.forward conv2(%t2)
  %t4 i8[32] over %t3, %mask:op3 mask1[32] = add.forward op3(%t3, %input)
  %t5 i8[2] = average_pool.forward op4(%t4)
  head.forward head(%t5)
backward:
  %d:logits f32[3] = loss.gradient head()
  %d:t5 f32[2] = head.input_gradient head(%d:logits)
  head.gradient head(%d:logits, %t5) add
  %d:t4 f32[32] = pool.gradient op4(%d:t5)
  %d:t3 f32[32] over %d:t4 = mask_scale op3.0(%d:t4, %mask:op3)
  %g:conv2 f32[32] over %d:t3 = mask_scale conv2.0(%d:t3, %mask:conv2)
  bias_gradient conv2(%g:conv2) add
  weight_gradient conv2(%g:conv2, %saved:conv2) add
  %d:t2 f32[128] = input_gradient conv2(%g:conv2)
  %g:conv1 f32[128] over %d:t2 = mask_scale conv1.0(%d:t2, %mask:conv1)
  bias_gradient conv1(%g:conv1) add
update:
  apply.bias conv1()
  apply.bias conv2()
  apply.weights conv2()
  apply.head head()
)");
}

TEST(Passes, HeadOnlyNeedsNoGradientOfTheBody) {
  const ir::Graph graph = bottleneck();
  const std::string text = text_after(graph, plan::head_only(graph), kAllPasses);
  EXPECT_THAT(text, Not(HasSubstr("mask")));
  EXPECT_THAT(text, Not(HasSubstr("head.input_gradient")));
  EXPECT_THAT(text, HasSubstr("head.gradient"));
}

// A wide map between two narrow ones: streaming pays.
TEST(Passes, StreamRunsTheWidePairAtThePeakByRows) {
  testing::GraphBuilder b(3, {16, 16, 4});
  ir::TensorId x = b.conv(b.input(), 48, testing::window(1, 1, 0));
  x = b.conv(x, 48, testing::window(3, 2, 1), 48);
  x = b.conv(x, 4, testing::window(1, 1, 0));
  const ir::Graph graph = b.finish(b.global_pool(x), 3);
  const std::string text = text_after(graph, plan::head_only(graph), kAllPasses);
  EXPECT_THAT(text, HasSubstr("conv.forward conv0(%input) in chain 0"));
  EXPECT_THAT(text_after(graph, plan::head_only(graph), *without(kAllPasses, "stream")),
              Not(HasSubstr("chain")));
  // Not when the wide map must be kept for the depthwise convolution's weight gradient.
  EXPECT_THAT(text_after(graph, plan::full(graph), kAllPasses), Not(HasSubstr(" rows")));
}

// What bounds the arena from below must not rise from pass to pass.
TEST(Passes, NeverRaiseThePeakLoad) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const ir::Graph graph = testing::random_network(seed);
    Rng rng{seed, 1};
    const plan::UpdatePlan plan = testing::random_plan(graph, rng);
    TrainingGraph training = differentiate(graph, plan, 1);
    PassSet before = 0;
    std::int64_t load = -1;
    for (std::size_t i = 0; i < passes().size(); ++i) {
      TrainingGraph next = differentiate(graph, plan, 1);
      before |= PassSet{1} << i;
      ASSERT_TRUE(run_passes(next, before).ok());
      assign_scratch(next);
      const std::int64_t now = lower_bound(arena_problem(next).problem);
      // Saved channels may stand beside a map that something else keeps alive; behind the input
      // gradient a step of weights still needs its input.
      std::int64_t kept = 0;
      for (const ir::Tensor& tensor : graph.tensors) {
        kept = std::max(kept, tensor.shape.elements());
      }
      if (load >= 0 && passes()[i].name != "slice") {
        EXPECT_LE(now, load + (passes()[i].name == "reorder" ? kept + 4 : 0))
            << "seed " << seed << " pass " << passes()[i].name;
      }
      load = now;
    }
  }
}

TEST(Passes, UnknownNamesAreListed) {
  const Result<PassSet> set = without(kAllPasses, "shrink");
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(set.error().message(),
              HasSubstr("prune, slice, reorder, bit-masks, in-place, stream"));
}

// Where each maximum came from is kept in as few bits as its window needs, and only while a
// gradient will ask for it.
TEST(Differentiate, KeepsTheWinnersOfMaxPools) {
  for (const auto& [kernel, bytes] : {std::pair{2, 16 * 4 / 4}, std::pair{4, 16 * 4 / 2},
                                      std::pair{7, 16 * 4}, std::pair{17, 16 * 4 * 2}}) {
    testing::GraphBuilder b(1, {kernel + 3, kernel + 3, 2});
    ir::TensorId x = b.conv(b.input(), 4, testing::window(3, 1, 1));
    x = b.max_pool(x, testing::window(kernel, 1, 0));
    x = b.conv(x, 4, testing::window(3, 1, 1));
    const ir::Graph graph = b.finish(b.global_pool(x), 3);
    for (const bool before : {true, false}) {
      TrainingGraph training = differentiate(graph, *plan::bias_only(graph, before ? 2 : 1));
      ASSERT_TRUE(run_passes(training, kAllPasses).ok());
      const Node& pool = training.nodes[1];
      ASSERT_EQ(pool.kind, NodeKind::kMaxPoolForward);
      ASSERT_EQ(pool.outputs[1] >= 0, before) << "a window of " << kernel;
      if (before) {
        EXPECT_EQ(training.value(pool.outputs[1]).bytes(), bytes) << "a window of " << kernel;
      }
    }
  }
}

// The verifier must not be satisfied with anything.
TEST(Verify, NamesEachViolation) {
  const ir::Graph graph = bottleneck();
  const TrainingGraph good = differentiate(graph, plan::full(graph));
  ASSERT_TRUE(verify(good).ok());

  TrainingGraph swapped = good;
  std::swap(swapped.nodes[0], swapped.nodes[1]);
  EXPECT_THAT(verify(swapped).error().message(), HasSubstr("before it is written"));

  TrainingGraph twice = good;
  twice.nodes.push_back(twice.nodes[0]);
  EXPECT_THAT(verify(twice).error().message(), HasSubstr("a second time"));

  TrainingGraph early = good;
  const auto apply = std::find_if(early.nodes.begin(), early.nodes.end(), [](const Node& node) {
    return node.kind == NodeKind::kApplyWeights;
  });
  Node moved = *apply;
  moved.inputs[0] = -1;
  early.nodes.insert(early.nodes.begin() + early.backward_begin, moved);
  EXPECT_THAT(verify(early).error().message(), HasSubstr("weights that were stepped before"));

  TrainingGraph overwritten = good;
  // conv1's output over its input, which the backward pass still reads.
  overwritten.value(overwritten.nodes[1].outputs[0]).in_place_of = overwritten.nodes[1].inputs[0];
  EXPECT_THAT(verify(overwritten).error().message(), HasSubstr("has overwritten"));
}

}  // namespace
}  // namespace espalier::compiler
