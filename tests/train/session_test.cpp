// The training step on small random networks against the scalar reference run op by op.
#include "espalier/train/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "espalier/kernels/reference.hpp"
#include "espalier/train/recipe.hpp"
#include "testing/random_graph.hpp"

namespace espalier::train {
namespace {

using espalier::testing::small_network;

// Gradients of the whole body by the scalar reference, from given dL/d(features).
struct ReferenceGradients {
  std::vector<std::vector<double>> weights;
  std::vector<std::vector<double>> bias;
};

ReferenceGradients reference_gradients(const ir::Graph& graph, const std::vector<std::int8_t>& x,
                                       const std::vector<double>& feature_gradient) {
  std::vector<std::vector<std::int8_t>> values(graph.tensors.size());
  std::vector<std::vector<std::uint8_t>> masks(graph.ops.size());
  values[static_cast<std::size_t>(graph.input)] = x;
  const auto inputs_of = [&](const ir::Op& op) {
    std::vector<std::vector<std::int8_t>> inputs;
    for (const ir::TensorId id : op.inputs) inputs.push_back(values[static_cast<std::size_t>(id)]);
    return inputs;
  };
  for (std::size_t o = 0; o < graph.ops.size(); ++o) {
    auto result = kernels::reference::forward(graph, graph.ops[o], inputs_of(graph.ops[o]));
    values[static_cast<std::size_t>(graph.ops[o].output)] = std::move(result.output);
    masks[o] = std::move(result.mask);
  }
  std::vector<std::vector<double>> dy(graph.tensors.size());
  for (std::size_t t = 0; t < dy.size(); ++t) {
    dy[t].assign(static_cast<std::size_t>(graph.tensors[t].shape.elements()), 0.0);
  }
  dy[static_cast<std::size_t>(graph.features)] = feature_gradient;
  ReferenceGradients sums;
  sums.weights.resize(graph.ops.size());
  sums.bias.resize(graph.ops.size());
  for (std::size_t o = graph.ops.size(); o-- > 0;) {
    const ir::Op& op = graph.ops[o];
    auto back = kernels::reference::backward(graph, op, inputs_of(op), masks[o],
                                             dy[static_cast<std::size_t>(op.output)]);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      auto& into = dy[static_cast<std::size_t>(op.inputs[i])];
      for (std::size_t k = 0; k < into.size(); ++k) into[k] += back.inputs[i][k];
    }
    sums.weights[o] = std::move(back.weights);
    sums.bias[o] = std::move(back.bias);
  }
  return sums;
}

void put_input(const Network& network, const std::vector<std::vector<std::int8_t>>& samples,
               Workspace& workspace) {
  std::int8_t* out = workspace.activation(network.graph().input);
  for (const auto& sample : samples) out = std::copy(sample.begin(), sample.end(), out);
}

std::vector<std::vector<std::int8_t>> random_samples(const ir::Graph& graph, std::uint64_t seed,
                                                     int count) {
  Rng rng{seed, 1};
  std::vector<std::vector<std::int8_t>> samples;
  for (int i = 0; i < count; ++i) {
    samples.push_back(espalier::testing::random_int8(
        rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements())));
  }
  return samples;
}

class SessionGradients : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(SessionGradients, EqualTheReferenceThroughTheWholeNetwork) {
  const ir::Graph graph = small_network(GetParam());
  const Network network(graph);
  const Session session(network, plan::full(graph), graph.head);
  constexpr int kSamples = 5;
  const auto samples = random_samples(graph, GetParam(), kSamples);
  const std::vector<int> labels{0, 1, 2, 3, 1};
  Workspace workspace(session);
  put_input(network, samples, workspace);
  session.forward(workspace, kSamples, true);
  std::vector<std::vector<double>> feature_gradients;
  for (int s = 0; s < kSamples; ++s) {
    const float* row = session.logits(workspace) + s * session.logit_stride();
    double total = 0;
    for (int c = 0; c < 4; ++c) total += std::exp(static_cast<double>(row[c]));
    std::vector<double> df(static_cast<std::size_t>(graph.head.features), 0.0);
    for (int c = 0; c < 4; ++c) {
      const double p = std::exp(static_cast<double>(row[c])) / total;
      const double d = (p - (c == labels[static_cast<std::size_t>(s)] ? 1 : 0)) / kSamples;
      for (std::size_t f = 0; f < df.size(); ++f) {
        df[f] +=
            d *
            static_cast<double>(graph.head.weights[static_cast<std::size_t>(c) * df.size() + f]) *
            static_cast<double>(graph.tensor(graph.features).quantization.scale);
      }
    }
    feature_gradients.push_back(std::move(df));
  }
  Gradients gradients = session.make_gradients();
  session.backward(workspace, labels, kSamples, gradients);
  std::vector<ReferenceGradients> expected;
  for (int s = 0; s < kSamples; ++s) {
    expected.push_back(reference_gradients(graph, samples[static_cast<std::size_t>(s)],
                                           feature_gradients[static_cast<std::size_t>(s)]));
  }
  for (const int op : network.convs()) {
    const auto o = static_cast<std::size_t>(op);
    std::vector<double> dw(expected[0].weights[o].size(), 0.0);
    std::vector<double> db(expected[0].bias[o].size(), 0.0);
    for (const ReferenceGradients& one : expected) {
      for (std::size_t i = 0; i < dw.size(); ++i) dw[i] += one.weights[o][i];
      for (std::size_t i = 0; i < db.size(); ++i) db[i] += one.bias[o][i];
    }
    double largest = 1e-12;
    for (const double v : dw) largest = std::max(largest, std::abs(v));
    const std::vector<float> dense = session.dense_weight_gradient(gradients, op);
    for (std::size_t i = 0; i < dw.size(); ++i) ASSERT_NEAR(dense[i], dw[i], 1e-5 * largest);
    largest = 1e-12;
    for (const double v : db) largest = std::max(largest, std::abs(v));
    for (std::size_t i = 0; i < db.size(); ++i) {
      ASSERT_NEAR(gradients.convs[o].bias[i], db[i], 1e-5 * largest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SessionGradients, ::testing::Range<std::uint64_t>(0, 8));

TEST(Session, PartialPlansHaveTheGradientsOfTheFullOne) {
  const ir::Graph graph = small_network(3);
  const Network network(graph);
  const auto samples = random_samples(graph, 3, 4);
  const std::vector<int> labels{0, 1, 2, 3};
  const auto run = [&](const plan::UpdatePlan& plan) {
    const Session session(network, plan, graph.head, 0);
    Workspace workspace(session);
    put_input(network, samples, workspace);
    session.forward(workspace, 4, true);
    Gradients gradients = session.make_gradients();
    session.backward(workspace, labels, 4, gradients);
    std::vector<std::vector<float>> dense;
    for (const int op : network.convs())
      dense.push_back(session.dense_weight_gradient(gradients, op));
    return std::pair(std::move(gradients), std::move(dense));
  };
  const auto [full, full_dense] = run(plan::full(graph));
  plan::UpdatePlan partial = *plan::bias_only(graph, 4);
  partial.weights.push_back(plan::make_weight_update(graph, 4, 0.5));
  partial.weights.push_back(plan::make_weight_update(graph, 5, 0.25));
  const auto [some, some_dense] = run(partial);
  const auto convs = network.convs();
  for (std::size_t i = 0; i < convs.size(); ++i) {
    const auto op = static_cast<std::size_t>(convs[i]);
    if (i >= convs.size() - 4) {
      EXPECT_EQ(some.convs[op].bias, full.convs[op].bias);
    } else {
      EXPECT_TRUE(some.convs[op].bias.empty());
    }
    std::size_t trained = 0;
    for (std::size_t w = 0; w < some_dense[i].size(); ++w) {
      if (some_dense[i][w] == 0.0F) continue;
      ++trained;
      ASSERT_EQ(some_dense[i][w], full_dense[i][w]);
    }
    EXPECT_EQ(trained > 0, i == 4 || i == 5);
  }
}

TEST(Session, TinyStepsWithoutQasRoundAway) {
  const ir::Graph graph = small_network(5);
  const Network network(graph);
  const auto samples = random_samples(graph, 5, 4);
  const std::vector<int> labels{0, 1, 2, 3};
  const auto moved = [&](bool qas) {
    Session session(network, plan::full(graph), graph.head);
    Workspace workspace(session);
    Gradients gradients = session.make_gradients();
    for (int step = 0; step < 3; ++step) {
      put_input(network, samples, workspace);
      session.forward(workspace, 4, true);
      Session::clear(gradients);
      session.backward(workspace, labels, 4, gradients);
      EXPECT_TRUE(session.update(gradients, 1e-3F, qas));
    }
    const ir::Graph tuned = session.tuned_graph();
    int count = 0;
    for (const int op : network.convs()) {
      const auto& before = ir::conv(graph, op).weights;
      const auto& after = ir::conv(tuned, op).weights;
      for (std::size_t i = 0; i < before.size(); ++i) count += before[i] != after[i] ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(moved(false), 0);
  EXPECT_GT(moved(true), 0);
}

// Of two random samples, one of each of the first two classes.
Gradients gradients_of(const Network& network, const Session& session, std::uint64_t seed) {
  Workspace workspace(session);
  put_input(network, random_samples(network.graph(), seed, 2), workspace);
  session.forward(workspace, 2, true);
  Gradients gradients = session.make_gradients();
  session.backward(workspace, std::vector<int>{0, 1}, 2, gradients);
  return gradients;
}

TEST(Session, DeadChannelsStayFinite) {
  ir::Graph graph = small_network(6);
  auto& conv = std::get<ir::Conv2D>(graph.ops[1].params);
  conv.weight_scales[0] = 1e-25F;  // its square vanishes
  conv.bias[0] = INT32_MAX;
  const Network network(graph);
  Session session(network, plan::full(graph), graph.head);
  Gradients gradients = gradients_of(network, session, 6);
  // The channel saturates nowhere, so that little of its gradient is left, but not nothing.
  gradients.convs[1].bias[0] = gradients.convs[1].weights[0] = 1e-20F;
  EXPECT_TRUE(session.update(gradients, 0.01F, true));
  const ir::Graph tuned = session.tuned_graph();
  const ir::Conv2D& after = ir::conv(tuned, 1);
  EXPECT_EQ(after.bias[0], INT32_MAX);
  EXPECT_TRUE(std::equal(conv.weights.begin(), conv.weights.begin() + conv.in_per_group(),
                         after.weights.begin()));
  EXPECT_NE(after.bias, conv.bias);
}

// Updates below the clip are what they are without one, and those above end at it; of weights and
// of biases, of which there are both kinds.
TEST(Session, ClipsUpdates) {
  const ir::Graph graph = small_network(9);
  const Network network(graph);
  Session session(network, plan::full(graph), graph.head);
  const Gradients gradients = gradients_of(network, session, 9);
  Session clipped(network, plan::full(graph), graph.head);
  constexpr int kClip = 2;
  constexpr float kRate = 0.5F;
  ASSERT_TRUE(session.update(gradients, kRate, true));
  ASSERT_TRUE(clipped.update(gradients, kRate, true, kClip));
  const ir::Graph free = session.tuned_graph();
  const ir::Graph held = clipped.tuned_graph();
  std::array<int, 4> seen{};  // weights within and beyond, biases within and beyond
  const auto expect = [&](int before, int free_after, int held_after, int most, std::size_t kind) {
    const bool beyond = std::abs(free_after - before) > most;
    ++seen[kind + (beyond ? 1 : 0)];
    ASSERT_EQ(held_after, beyond ? before + (free_after > before ? most : -most) : free_after);
  };
  for (const int op : ir::conv_ops(graph)) {
    const ir::Conv2D& start = ir::conv(graph, op);
    for (std::size_t i = 0; i < start.weights.size(); ++i) {
      if (std::abs(start.weights[i]) > 127 - kClip) continue;  // it stops by itself
      ASSERT_NO_FATAL_FAILURE(expect(start.weights[i], ir::conv(free, op).weights[i],
                                     ir::conv(held, op).weights[i], kClip, 0))
          << "op " << op << " weight " << i;
    }
    for (std::size_t i = 0; i < start.bias.size(); ++i) {
      ASSERT_NO_FATAL_FAILURE(expect(start.bias[i], ir::conv(free, op).bias[i],
                                     ir::conv(held, op).bias[i], kBiasClip * kClip, 2))
          << "op " << op << " bias " << i;
    }
  }
  for (const int count : seen) EXPECT_GT(count, 0);
  EXPECT_EQ(held.head.weights, free.head.weights);
}

TEST(Session, ReportsDivergence) {
  const ir::Graph graph = small_network(8);
  const Network network(graph);
  Session session(network, plan::full(graph), graph.head);
  const Gradients gradients = gradients_of(network, session, 8);
  EXPECT_FALSE(session.update(gradients, 1e30F, true));
}

}  // namespace
}  // namespace espalier::train
