#include "espalier/contribution/fisher.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "espalier/plan/update_plan.hpp"
#include "espalier/train/session.hpp"
#include "testing/random_graph.hpp"
#include "testing/reference_step.hpp"
#include "testing/toy_data.hpp"

namespace espalier::contribution {
namespace {

using espalier::testing::reference_step;
using espalier::testing::ReferenceStep;
using espalier::testing::small_network;
using espalier::testing::toy_samples;

constexpr int kSamples = 70;  // more than one block
const std::vector<double> kRatios{0.25, 0.5, 1.0};

std::shared_ptr<const train::SampleStore> store_of(const train::Network& network) {
  return *train::SampleStore::from_samples(network, toy_samples(network.graph(), kSamples, 1), 1);
}

// By the definition, from the scalar reference: (sum g)^2 / (n sum g^2) of each parameter.
class Reference {
 public:
  Reference(const ir::Graph& graph, const train::Network& network,
            const train::SampleStore& store) {
    sum_.resize(2 * graph.ops.size());
    squares_.resize(2 * graph.ops.size());
    const train::Session session(network, plan::head_only(graph), graph.head, 0);
    train::Workspace workspace(session);
    for (std::uint32_t i = 0; i < kSamples; ++i) {
      store.load({&i, 1}, workspace);
      const auto size = static_cast<std::size_t>(graph.tensor(graph.input).shape.elements());
      const ReferenceStep step =
          reference_step(graph, {workspace.activation(graph.input), size}, store.label(i));
      for (std::size_t op = 0; op < graph.ops.size(); ++op) {
        add(2 * op, step.weights[op]);
        add(2 * op + 1, step.bias[op]);
      }
    }
  }
  [[nodiscard]] double weight(int op, std::size_t i) const {
    return score(2 * static_cast<std::size_t>(op), i);
  }
  [[nodiscard]] double bias(int op, std::size_t i) const {
    return score(2 * static_cast<std::size_t>(op) + 1, i);
  }

 private:
  void add(std::size_t at, const std::vector<double>& gradient) {
    sum_[at].resize(gradient.size());
    squares_[at].resize(gradient.size());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      sum_[at][i] += gradient[i];
      squares_[at][i] += gradient[i] * gradient[i];
    }
  }
  [[nodiscard]] double score(std::size_t at, std::size_t i) const {
    if (squares_[at][i] == 0) return 0;
    return sum_[at][i] * sum_[at][i] / (kSamples * squares_[at][i]);
  }
  std::vector<std::vector<double>> sum_, squares_;
};

TEST(Fisher, ScoresAreTheirDefinition) {
  const ir::Graph graph = small_network(3);
  const train::Network network(graph);
  const auto store = store_of(network);
  const Result<FisherScores> scores = fisher_scores(network, *store, graph.head, kRatios, 1);
  ASSERT_TRUE(scores.ok());
  EXPECT_EQ(scores->samples, kSamples);
  const Reference reference(graph, network, *store);
  const auto convs = static_cast<int>(network.convs().size());
  double bias = 0;
  for (int index = convs - 1; index >= 0; --index) {
    const int op = network.convs()[static_cast<std::size_t>(index)];
    const ir::Conv2D& conv = ir::conv(graph, op);
    for (std::size_t i = 0; i < conv.bias.size(); ++i) bias += reference.bias(op, i);
    EXPECT_NEAR(scores->bias[static_cast<std::size_t>(convs - index)], bias, 1e-4 * bias);
    for (std::size_t r = 0; r < kRatios.size(); ++r) {
      double weight = 0;
      for (const int channel : plan::select_channels(conv, kRatios[r])) {
        const int per_group = conv.in_per_group();
        const int out_per_group = conv.out_channels / conv.groups;
        const int taps = conv.window.kernel_h * conv.window.kernel_w;
        const int group = channel / per_group;
        for (int out = group * out_per_group; out < (group + 1) * out_per_group; ++out) {
          for (int tap = 0; tap < taps; ++tap) {
            weight += reference.weight(
                op, static_cast<std::size_t>((out * taps + tap) * per_group + channel % per_group));
          }
        }
      }
      EXPECT_NEAR(scores->weight[static_cast<std::size_t>(index)][r], weight, 1e-4 * weight)
          << "conv " << index << " ratio " << kRatios[r];
      double selected = 0;
      for (const int channel : plan::select_channels(conv, kRatios[r])) {
        selected +=
            scores->channel[static_cast<std::size_t>(index)].at(static_cast<std::size_t>(channel));
      }
      EXPECT_EQ(scores->weight[static_cast<std::size_t>(index)][r], selected);
    }
  }
}

TEST(Fisher, SameBitsForAnyJobs) {
  const train::Network network(small_network(4));
  const auto store = store_of(network);
  const ir::Head& head = network.graph().head;
  const Result<FisherScores> one = fisher_scores(network, *store, head, kRatios, 1);
  const Result<FisherScores> three = fisher_scores(network, *store, head, kRatios, 3);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->bias, three->bias);
  EXPECT_EQ(one->weight, three->weight);
}
}  // namespace
}  // namespace espalier::contribution
