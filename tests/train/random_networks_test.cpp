// Random networks in simulation numerics against the scalar reference, from the input and from
// every cut: whatever op reads the input, in whatever operand position, at any width.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_inputs.hpp"
#include "testing/random_plan.hpp"
#include "testing/reference_step.hpp"

namespace espalier::train {
namespace {

using espalier::testing::RandomInputs;
using espalier::testing::reference_step;
using espalier::testing::ReferenceStep;

constexpr int kSamples = 3;

class RandomNetworks : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  // The last third has large maps, which go through the network sample by sample.
  ir::Graph graph_ = GetParam() < 100 ? espalier::testing::random_network(GetParam())
                                      : espalier::testing::random_large_maps(GetParam());
  Network network_{graph_};
  RandomInputs data_{graph_, kSamples, GetParam()};
  std::shared_ptr<const SampleStore> store_ = data_.store(network_);

  [[nodiscard]] std::vector<ReferenceStep> expected(int first_op) const {
    std::vector<ReferenceStep> steps;
    for (std::size_t i = 0; i < kSamples; ++i) {
      steps.push_back(reference_step(graph_, data_.inputs[i], data_.labels[i], first_op));
    }
    return steps;
  }

  // Loads or lends all samples at the session's cut and runs them forward.
  void run(const Session& session, const SampleStore& store, Workspace& workspace,
           bool masks) const {
    std::vector<std::uint32_t> all(kSamples);
    std::iota(all.begin(), all.end(), 0U);
    if ((GetParam() + static_cast<std::uint64_t>(session.cut())) % 2 == 0) {
      store.load(all, workspace);
    } else {
      store.lend(all, workspace);
    }
    session.forward(workspace, kSamples, masks);
  }
};

// Elements of the features that differ from the reference's.
int wrong_features(const Network& network, Workspace& workspace,
                   const std::vector<ReferenceStep>& expected) {
  const ir::TensorId features = network.graph().features;
  const int channels = network.graph().tensor(features).shape.channels;
  int wrong = 0;
  const std::int8_t* pixel = workspace.activation(features);
  for (const ReferenceStep& step : expected) {
    const auto& values = step.activations[static_cast<std::size_t>(features)];
    for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(channels)) {
      for (int c = 0; c < channels; ++c) wrong += pixel[c] != values[i + std::size_t(c)] ? 1 : 0;
      pixel += network.stride(features);
    }
  }
  return wrong;
}

TEST_P(RandomNetworks, ForwardFromEveryCutEqualsTheReference) {
  const std::vector<ReferenceStep> steps = expected(static_cast<int>(graph_.ops.size()));
  const plan::UpdatePlan frozen = plan::head_only(graph_);
  for (int cut = 0; cut <= static_cast<int>(graph_.ops.size()); ++cut) {
    SCOPED_TRACE(cut);
    const Session session(network_, frozen, graph_.head, cut);
    Workspace workspace(session, Passes::kForward);
    const auto store = store_->advance(network_, cut, 1);
    run(session, *store, workspace, false);
    ASSERT_EQ(wrong_features(network_, workspace, steps), 0);
    for (std::size_t s = 0; s < kSamples; ++s) {
      const float* row = session.logits(workspace) + s * std::size_t(session.logit_stride());
      for (std::size_t c = 0; c < steps[s].logits.size(); ++c) {
        ASSERT_NEAR(row[c], steps[s].logits[c], 1e-4 * (1 + std::abs(steps[s].logits[c])));
      }
    }
  }
}

// The gradient of the mean loss, as the reference sums it over the samples.
std::vector<double> mean_of(const std::vector<ReferenceStep>& steps,
                            std::vector<std::vector<double>> ReferenceStep::*member,
                            std::size_t op) {
  std::vector<double> sum((steps[0].*member)[op].size(), 0.0);
  for (const ReferenceStep& step : steps) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += (step.*member)[op][i] / kSamples;
  }
  return sum;
}

// Relative to the largest that any sample has, for means may cancel.
void expect_near(const std::vector<double>& expected, const float* actual, double largest,
                 const std::string& what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-5 * (largest + 1e-30)) << what;
  }
}

double largest_of(const std::vector<ReferenceStep>& steps,
                  std::vector<std::vector<double>> ReferenceStep::*member, std::size_t op) {
  double largest = 0;
  for (const ReferenceStep& step : steps) {
    for (const double v : (step.*member)[op]) largest = std::max(largest, std::abs(v));
  }
  return largest;
}

TEST_P(RandomNetworks, GradientsOfAnyPlanEqualTheReferences) {
  Rng rng{GetParam(), 7};
  const plan::UpdatePlan plan =
      rng.chance(0.3) ? plan::full(graph_) : espalier::testing::random_plan(graph_, rng);
  // From the first trained op, or from an earlier one, as where memory does not hold the samples.
  const auto first = static_cast<std::uint64_t>(plan::training_cut(plan, graph_));
  const int cut = rng.chance(0.5) ? -1 : static_cast<int>(rng.below(first + 1));
  const Session session(network_, plan, graph_.head, cut);
  const std::vector<ReferenceStep> steps = expected(0);
  Workspace workspace(session);
  const auto store = store_->advance(network_, session.cut(), 1);
  run(session, *store, workspace, true);
  Gradients gradients = session.make_gradients();
  session.backward(workspace, data_.labels, kSamples, gradients);
  for (std::size_t index = 0; index < network_.convs().size(); ++index) {
    const auto op = static_cast<std::size_t>(network_.convs()[index]);
    if (steps[0].bias[op].empty()) continue;  // a branch that the head does not see
    const std::string what = "conv " + std::to_string(index);
    if (plan::trains_bias(plan, graph_, static_cast<int>(index))) {
      expect_near(mean_of(steps, &ReferenceStep::bias, op), gradients.convs[op].bias.data(),
                  largest_of(steps, &ReferenceStep::bias, op), "bias of " + what);
    }
    std::vector<double> weights = mean_of(steps, &ReferenceStep::weights, op);
    const std::vector<float> actual =
        session.dense_weight_gradient(gradients, static_cast<int>(op));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (actual[i] == 0.0F) weights[i] = 0;  // frozen; session_test.cpp tells which are
    }
    expect_near(weights, actual.data(), largest_of(steps, &ReferenceStep::weights, op), what);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworks, ::testing::Range<std::uint64_t>(0, 180));

}  // namespace
}  // namespace espalier::train
