// Device numerics against the scalar reference, and every pass against its absence.
#include "espalier/engine/engine.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "espalier/compiler/narrow.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/train/session.hpp"
#include "runtime/espalier_integer_types.h"
#include "testing/npy.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"
#include "testing/reference_step.hpp"

namespace espalier::engine {
namespace {

using compiler::StateRole;
using testing::random_network;
using testing::random_plan;

compiler::Program compiled(const ir::Graph& graph, const plan::UpdatePlan& plan,
                           compiler::PassSet passes = compiler::kAllPasses, int accumulate = 1,
                           compiler::Element gradient = compiler::Element::kFloat32) {
  compiler::CompileOptions options;
  options.passes = passes;
  options.accumulate = accumulate;
  options.gradient = gradient;
  Result<compiler::Program> program = compiler::compile(graph, plan, options);
  if (!program.ok()) throw std::runtime_error(program.error().message());
  return std::move(program).value();
}

std::vector<std::int8_t> random_input(const ir::Graph& graph, Rng& rng) {
  return testing::random_int8(rng,
                              static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
}

template <typename T>
std::vector<T> values(std::span<const std::byte> bytes) {
  std::vector<T> result(bytes.size() / sizeof(T));
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

// The largest difference relative to the largest reference value, or to `terms` where such large
// terms have cancelled.
double relative_error(std::span<const float> actual, std::span<const double> expected,
                      double terms = 0) {
  double largest = std::max(1e-30, terms);
  double difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(static_cast<double>(actual[i]) - expected[i]));
  }
  return difference / largest;
}

// What single precision can hold of the gradient that the head sends back: `least`, or less where
// the terms of its sum over the classes nearly cancel.
double head_tolerance(const ir::Head& head, const testing::ReferenceStep& step, double least) {
  double sums = 1e-30;
  double magnitudes = 1e-30;
  const auto features = static_cast<std::size_t>(head.features);
  for (std::size_t f = 0; f < features; ++f) {
    double sum = 0;
    double magnitude = 0;
    for (std::size_t k = 0; k < step.head_bias.size(); ++k) {
      const double term = step.head_bias[k] * static_cast<double>(head.weights[k * features + f]);
      sum += term;
      magnitude += std::abs(term);
    }
    sums = std::max(sums, std::abs(sum));
    magnitudes = std::max(magnitudes, magnitude);
  }
  return std::max(least, 2e-7 * magnitudes / sums);
}

// The elements of a reference weight gradient that SRAM holds, in its order.
std::vector<double> resident(const compiler::TrainingGraph& graph, const compiler::TrainedConv& t,
                             const std::vector<double>& full) {
  if (!t.sliced) return full;
  const ir::Conv2D& conv = *compiler::conv_of(*graph.forward, t.op);
  const int taps = conv.window.kernel_h * conv.window.kernel_w;
  std::vector<double> kept;
  if (compiler::is_plain_depthwise(conv)) {
    for (const int c : t.channels) {
      for (int tap = 0; tap < taps; ++tap)
        kept.push_back(full[static_cast<std::size_t>(c * taps + tap)]);
    }
    return kept;
  }
  for (int row = 0; row < conv.out_channels * taps; ++row) {
    for (const int c : t.channels)
      kept.push_back(full[static_cast<std::size_t>(row * conv.in_channels + c)]);
  }
  return kept;
}

// Gradients are seen where they are added up over samples.
void compare_with_reference(const ir::Graph& graph, const plan::UpdatePlan& plan, Rng& rng,
                            double least_tolerance = 1e-5) {
  const compiler::Program program = compiled(graph, plan, compiler::kAllPasses, 2);
  Engine engine(program, {});
  const std::vector<std::int8_t> input = random_input(graph, rng);
  const int label = static_cast<int>(rng.below(static_cast<std::uint64_t>(graph.head.classes)));
  std::copy(input.begin(), input.end(), engine.input());
  engine.run_forward();
  const std::vector<std::int8_t> features(engine.activation(graph.features),
                                          engine.activation(graph.features) + graph.head.features);
  const float loss = engine.run_backward(label);
  const int first = program.graph.trained.empty() ? static_cast<int>(graph.ops.size())
                                                  : program.graph.trained.front().op;
  const testing::ReferenceStep expected =
      testing::reference_step(graph, input, label, first, engine.logits());

  EXPECT_EQ(features, expected.activations[static_cast<std::size_t>(graph.features)]);
  EXPECT_NEAR(loss, expected.loss, 1e-4 * (1 + expected.loss));
  EXPECT_LT(relative_error(engine.logits(), expected.logits), 1e-5);
  const auto sums = [&](StateRole role, int op) { return values<float>(engine.state(role, op)); };
  EXPECT_LT(relative_error(sums(StateRole::kHeadWeightSum, -1), expected.head_weights), 1e-5);
  EXPECT_LT(relative_error(sums(StateRole::kHeadBiasSum, -1), expected.head_bias), 1e-5);
  const double tolerance = head_tolerance(graph.head, expected, least_tolerance);
  for (const compiler::TrainedConv& t : program.graph.trained) {
    const auto op = static_cast<std::size_t>(t.op);
    if (expected.bias[op].empty()) continue;  // a branch that the head does not see
    if (t.bias) {
      EXPECT_LT(relative_error(sums(StateRole::kBiasSum, t.op), expected.bias[op],
                               expected.bias_terms[op]),
                tolerance)
          << "bias of conv " << t.conv;
    }
    if (t.weights) {
      EXPECT_LT(relative_error(sums(StateRole::kWeightSum, t.op),
                               resident(program.graph, t, expected.weights[op])),
                tolerance)
          << "weights of conv " << t.conv;
    }
  }
}

class RandomNetworks : public ::testing::TestWithParam<int> {};

TEST_P(RandomNetworks, GradientsEqualTheReferences) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = random_network(seed);
  Rng rng{seed, 1};
  compare_with_reference(graph, random_plan(graph, rng), rng, 2e-5);
}

// One step on int8 and int32 parameters, from gradients in double: exact but where the unrounded
// step lies within the gradient's error of a tie.
TEST_P(RandomNetworks, StepsEqualTheReferences) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = random_network(seed);
  Rng rng{seed, 2};
  const plan::UpdatePlan plan = random_plan(graph, rng);
  const compiler::Program program = compiled(graph, plan);
  Engine engine(program, {});
  constexpr double kRate = 0.5;
  engine.set_learning_rate(kRate * 256);
  const std::vector<std::int8_t> input = random_input(graph, rng);
  std::copy(input.begin(), input.end(), engine.input());
  engine.train_step(0);
  const testing::ReferenceStep expected =
      testing::reference_step(graph, input, 0, 0, engine.logits());
  const ir::Graph tuned = engine.tuned_graph();
  std::int64_t moved = 0;
  std::int64_t must_move = 0;  // steps of more than half a unit with room on both sides
  for (const compiler::TrainedConv& t : program.graph.trained) {
    const auto op = static_cast<std::size_t>(t.op);
    if (expected.bias[op].empty()) continue;
    const auto& before = std::get<ir::Conv2D>(graph.ops[op].params);
    const auto& after = std::get<ir::Conv2D>(tuned.ops[op].params);
    const double in_scale = graph.tensor(graph.ops[op].inputs[0]).quantization.scale;
    const auto per_channel = before.weights.size() / static_cast<std::size_t>(before.out_channels);
    const std::vector<double>& gradient = expected.weights[op];
    double largest = 0;
    for (const double g : gradient) largest = std::max(largest, std::abs(g));
    const auto check = [&](double value, double step, double tolerance, double low, double high,
                           double actual) {
      const double down = std::clamp(value - std::floor(step + 0.5 + tolerance), low, high);
      const double up = std::clamp(value - std::floor(step + 0.5 - tolerance), low, high);
      // Tolerances beyond half a unit leave integers between them.
      EXPECT_TRUE(down <= actual && actual <= up) << actual << " vs " << down << " to " << up;
      if (actual != value) ++moved;
      if (std::abs(step) > 0.6 + tolerance && std::abs(value) < 127) ++must_move;
    };
    for (std::size_t i = 0; i < before.weights.size(); ++i) {
      const auto in = static_cast<int>(i % static_cast<std::size_t>(before.in_per_group()));
      const auto out = static_cast<int>(i / per_channel);
      const int channel = in + out / (before.out_channels / before.groups) * before.in_per_group();
      const bool trained =
          t.weights && (t.channels.empty() || std::find(t.channels.begin(), t.channels.end(),
                                                        channel) != t.channels.end());
      if (!trained) {
        EXPECT_EQ(after.weights[i], before.weights[i]);
        continue;
      }
      const double scale = before.weight_scales[static_cast<std::size_t>(out)];
      const double factor = kRate / (scale * scale);
      const double step = gradient[i] * factor;
      check(before.weights[i], step, 1e-5 * largest * factor + 1e-6 * std::abs(step), -127, 127,
            after.weights[i]);
    }
    for (std::size_t c = 0; c < before.bias.size(); ++c) {
      const double scale = in_scale * before.weight_scales[c];
      const double step = expected.bias[op][c] * kRate / (scale * scale);
      double most = 0;
      for (const double g : expected.bias[op]) most = std::max(most, std::abs(g));
      const double tolerance = 1e-5 * most * kRate / (scale * scale) + 1e-6 * std::abs(step);
      // Tolerances beyond a unit leave a range of integers.
      EXPECT_NEAR(after.bias[c], before.bias[c] - step, 0.5 + tolerance + 1e-6 * std::abs(step));
    }
  }
  EXPECT_GE(moved, must_move);
}

// What sums of integer gradients stand for.
std::vector<float> real_sums(const Engine& engine, const compiler::Program& program, int op,
                             bool weights) {
  const auto sums = values<std::int32_t>(
      engine.state(weights ? StateRole::kIntegerWeightSum : StateRole::kIntegerBiasSum, op));
  const auto ranges = values<esp_q_range>(engine.state(StateRole::kRanges, -1));
  const int at = compiler::sum_range(program.graph, op, weights);
  std::vector<float> real;
  for (const std::int32_t sum : sums) {
    real.push_back(
        std::ldexp(static_cast<float>(sum), ranges[static_cast<std::size_t>(at)].exponent));
  }
  return real;
}

// However many there are: nothing of the body moves, nor the exponents that its gradients start
// from.
TEST_P(RandomNetworks, StepsOfTheHeadLeaveEverythingElseAsItIs) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = random_network(seed);
  Rng rng{seed, 4};
  const plan::UpdatePlan plan = random_plan(graph, rng);
  constexpr compiler::Element kGradients[] = {compiler::Element::kInt8, compiler::Element::kFloat32,
                                              compiler::Element::kInt16};
  const compiler::Program program =
      compiled(graph, plan, seed % 2 == 0 ? compiler::kAllPasses : compiler::PassSet{},
               seed % 4 == 1 ? 3 : 1, kGradients[seed % 3]);
  Engine engine(program, {.stochastic = seed % 5 != 0, .clip = static_cast<int>(seed % 3)});
  engine.set_learning_rate(0.5F);
  const auto step = [&](bool head_alone) {
    const std::vector<std::int8_t> input = random_input(graph, rng);
    std::copy(input.begin(), input.end(), engine.input());
    const int label = static_cast<int>(rng.below(static_cast<std::uint64_t>(graph.head.classes)));
    EXPECT_GE(head_alone ? engine.train_head(label) : engine.train_step(label), 0);
  };
  for (int i = 0; i < 3; ++i) step(false);
  const std::vector<std::byte> before(engine.state().begin(), engine.state().end());
  for (int i = 0; i < 36; ++i) step(true);
  bool learned = false;
  for (const compiler::StateItem& item : program.state.items) {
    const auto at = static_cast<std::ptrdiff_t>(compiler::kControlBytes + item.offset);
    const std::span<const std::byte> after = engine.state(item.role, item.op);
    const bool same = std::equal(after.begin(), after.end(), before.begin() + at);
    const bool of_head =
        item.role == StateRole::kHeadWeights || item.role == StateRole::kHeadBias ||
        item.role == StateRole::kHeadWeightSum || item.role == StateRole::kHeadBiasSum;
    learned = learned || (item.role == StateRole::kHeadBias && !same);
    if (!of_head && item.role != StateRole::kLogits) {
      EXPECT_TRUE(same) << static_cast<int>(item.role) << " of op " << item.op;
    }
  }
  EXPECT_TRUE(learned);
}

// Gradients of 16 bits are those of the reference within their resolution, once exponents are
// found.
TEST_P(RandomNetworks, IntegerGradientsApproachTheReferences) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = random_network(seed);
  Rng rng{seed, 4};
  const plan::UpdatePlan plan = random_plan(graph, rng);
  compiler::Program program =
      compiled(graph, plan, compiler::kAllPasses, 2, compiler::Element::kInt16);
  const std::vector<std::int8_t> input = random_input(graph, rng);
  const int label = static_cast<int>(rng.below(static_cast<std::uint64_t>(graph.head.classes)));
  const auto place = [&](Engine& engine, int) {
    std::copy(input.begin(), input.end(), engine.input());
    return Placed{label, 0};
  };
  calibrate(program, place);
  Engine engine(program, {});
  place(engine, 0);
  engine.run_forward();
  engine.run_backward(label);
  const testing::ReferenceStep expected =
      testing::reference_step(graph, input, label, 0, engine.logits());
  const double resolution = head_tolerance(graph.head, expected, 0.015);
  // Sums over the outputs of a layer may cancel to a small part of what they add up.
  const double floor =
      0.01 * *std::max_element(expected.bias_terms.begin(), expected.bias_terms.end());
  for (const compiler::TrainedConv& t : program.graph.trained) {
    const auto op = static_cast<std::size_t>(t.op);
    if (expected.bias[op].empty()) continue;
    if (t.bias) {
      EXPECT_LT(relative_error(real_sums(engine, program, t.op, false), expected.bias[op],
                               std::max(expected.bias_terms[op], floor)),
                resolution)
          << "bias of conv " << t.conv;
    }
    if (t.weights) {
      EXPECT_LT(relative_error(real_sums(engine, program, t.op, true),
                               resident(program.graph, t, expected.weights[op])),
                resolution)
          << "weights of conv " << t.conv;
    }
  }
}

// With the input by rows, where all that reads it allows that.
compiler::Program compiled_fed(const ir::Graph& graph, const plan::UpdatePlan& plan,
                               compiler::PassSet passes, int accumulate,
                               compiler::Element gradient) {
  compiler::CompileOptions options{
      .passes = passes, .accumulate = accumulate, .gradient = gradient};
  options.fed = true;
  Result<compiler::Program> program = compiler::compile(graph, plan, options);
  return program.ok() ? std::move(program).value()
                      : compiled(graph, plan, passes, accumulate, gradient);
}

// Every subset of the passes, in both forms of update and both roundings, trains to the same bits.
TEST_P(RandomNetworks, PassesDoNotChangeTraining) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  constexpr compiler::Element kGradients[] = {compiler::Element::kFloat32, compiler::Element::kInt8,
                                              compiler::Element::kInt16};
  const compiler::Element gradient = kGradients[GetParam() % 7 % 3];
  const ir::Graph graph = random_network(seed);
  Rng rng{seed, 3};
  plan::UpdatePlan plan = random_plan(graph, rng);
  if (GetParam() % 3 != 1) plan = testing::with_random_turns(plan, graph, rng);
  std::vector<std::vector<std::int8_t>> inputs;
  for (int i = 0; i < 4; ++i) inputs.push_back(random_input(graph, rng));
  const auto passes = static_cast<compiler::PassSet>(compiler::passes().size());
  constexpr std::string_view kStream[] = {"stream"};
  const compiler::PassSet streaming = *compiler::only(kStream);
  for (const int accumulate : {1, 2}) {
    const EngineOptions options{
        .stochastic = accumulate == 1, .seed = 9, .clip = GetParam() % 5 == 0 ? 2 : 0};
    ir::Graph expected;
    std::vector<float> losses;
    for (compiler::PassSet set = 0; set < (1U << passes); ++set) {
      // All subsets on a few networks, single passes and their complements on the others.
      const int count = __builtin_popcount(set);
      if (GetParam() % 8 != 0 && count > 1 && count + 1 < static_cast<int>(passes)) continue;
      // Of the sets that stream, half have the input come by rows.
      const bool fed = (set & streaming) != 0 && (__builtin_popcount(set) + accumulate) % 2 == 0;
      const compiler::Program program = fed ? compiled_fed(graph, plan, set, accumulate, gradient)
                                            : compiled(graph, plan, set, accumulate, gradient);
      Engine engine(program, options);
      engine.set_learning_rate(20.0F);
      std::vector<float> seen;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        std::copy(inputs[i].begin(), inputs[i].end(), engine.input());
        seen.push_back(engine.train_step(static_cast<int>(i) % graph.head.classes));
        // With the slice pass weights move between SRAM and flash, without they stay.
        EXPECT_EQ(engine.next_turn(), accumulate == 1 || i % 2 == 1);
      }
      const ir::Graph tuned = engine.tuned_graph();
      if (set == 0) {
        expected = tuned;
        losses = seen;
        continue;
      }
      ASSERT_EQ(seen, losses) << "passes " << set;
      ASSERT_EQ(tuned.head.weights, expected.head.weights) << "passes " << set;
      for (const int op : ir::conv_ops(graph)) {
        ASSERT_EQ(ir::conv(tuned, op).weights, ir::conv(expected, op).weights)
            << "op " << op << " passes " << set;
        ASSERT_EQ(ir::conv(tuned, op).bias, ir::conv(expected, op).bias)
            << "op " << op << " passes " << set;
      }
    }
  }
}

// Nor does running parts of the forward pass again.
TEST_P(RandomNetworks, RecomputingDoesNotChangeTraining) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = seed % 2 == 0 ? random_network(seed) : testing::random_tower(seed);
  Rng rng{seed, 31};
  const plan::UpdatePlan plan = random_plan(graph, rng);
  compiler::CompileOptions options;
  options.gradient = seed % 3 == 0 ? compiler::Element::kFloat32 : compiler::Element::kInt8;
  options.accumulate = 1 + static_cast<int>(seed % 2);
  std::vector<std::vector<std::int8_t>> inputs;
  for (int i = 0; i < 3; ++i) inputs.push_back(random_input(graph, rng));
  const auto trained = [&] {
    const compiler::Program program = *compiler::compile(graph, plan, options);
    Engine engine(program, {true, 9, 20.0F, seed % 4 == 0 ? 2 : 0});
    std::vector<std::byte> seen;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::copy(inputs[i].begin(), inputs[i].end(), engine.input());
      engine.train_step(static_cast<int>(i) % graph.head.classes);
    }
    return std::vector<std::byte>(engine.state().begin(), engine.state().end());
  };
  const std::vector<std::byte> expected = trained();
  const auto ops = static_cast<int>(graph.ops.size());
  for (int trial = 0; trial < 3; ++trial) {
    options.recomputed.clear();
    for (int from = static_cast<int>(rng.below(3)); from < ops;) {
      const int last = std::min(ops - 1, from + static_cast<int>(rng.below(5)));
      options.recomputed.push_back({from, last});
      from = last + 1 + static_cast<int>(rng.below(4));
    }
    EXPECT_EQ(trained(), expected) << "trial " << trial;
  }
}

#ifdef ESPALIER_SLOW_TESTS
INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworks, ::testing::Range(16, 2036));
#else
INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworks, ::testing::Range(0, 16));
#endif

// The published networks under random plans: features to the bit, gradients to 1e-5.
class PublishedNetworks : public ::testing::TestWithParam<const char*> {};

TEST_P(PublishedNetworks, StepsEqualTheReferences) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  Result<ir::Graph> imported =
      import_model(shared / "models" / (std::string(GetParam()) + ".onnx"));
  ASSERT_TRUE(imported.ok());
  ir::Graph graph = std::move(imported).value();
  graph.head = train::fresh_head(graph.head.features, 10, 5);
#ifdef ESPALIER_SLOW_TESTS
  constexpr int kPlans = 100;
#else
  constexpr int kPlans = 2;
#endif
  for (int i = 0; i < kPlans; ++i) {
    SCOPED_TRACE(i);
    Rng rng{static_cast<std::uint64_t>(i), 31};
    compare_with_reference(graph, testing::random_plan(graph, rng), rng);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, PublishedNetworks,
                         ::testing::Values("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"));

}  // namespace
}  // namespace espalier::engine
