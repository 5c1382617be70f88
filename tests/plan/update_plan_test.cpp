#include "espalier/plan/update_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "espalier/support/file.hpp"
#include "espalier/support/json.hpp"
#include "plan/chain_graph.hpp"
#include "plan/published_networks.hpp"

namespace espalier::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ir::Conv2D zero_conv(int in, int out, int kernel, int groups) {
  ir::Conv2D conv;
  conv.window.kernel_h = kernel;
  conv.window.kernel_w = kernel;
  conv.in_channels = in;
  conv.out_channels = out;
  conv.groups = groups;
  conv.weights.assign(static_cast<std::size_t>(out * kernel * kernel * (in / groups)), 0);
  return conv;
}

TEST(ChannelCount, TruncatesTheDoubleProductAsThePublishedCodeDoes) {
  EXPECT_EQ(channel_count(56, 0.125), 7);
  EXPECT_EQ(channel_count(3, 0.5), 1);
  EXPECT_EQ(channel_count(7, 0.125), 0);
  EXPECT_EQ(channel_count(10, 1.0), 10);
  EXPECT_EQ(channel_count(10, 0.0), 0);
  // 100 * 0.29 is 28.999999999999996 in double precision.
  EXPECT_EQ(channel_count(100, 0.29), 28);
}

TEST(SelectChannels, TakesTheLargestNormsInAscendingOrder) {
  ir::Conv2D conv = zero_conv(4, 2, 1, 1);
  // Squared norms per input channel: 1+9 = 10, 4+0 = 4, 16+1 = 17, 9+4 = 13.
  conv.weights = {1, 2, -4, 3, -3, 0, 1, 2};
  EXPECT_THAT(select_channels(conv, 0.25), ElementsAre(2));
  EXPECT_THAT(select_channels(conv, 0.5), ElementsAre(2, 3));
  EXPECT_THAT(select_channels(conv, 0.75), ElementsAre(0, 2, 3));
  EXPECT_THAT(select_channels(conv, 1.0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(select_channels(conv, 0.0), IsEmpty());
}

TEST(Rotation, LetsAllChannelsTakeTurnsInDescendingNorm) {
  ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = bias_only(graph, 3).value();
  plan.weights.push_back(make_weight_update(graph, 1, 0.5));
  plan.weights.push_back(make_weight_update(graph, 3, 1.0));
  const UpdatePlan fixed = plan;
  EXPECT_FALSE(rotates(plan));
  add_rotation(plan, graph);
  EXPECT_TRUE(rotates(plan));
  EXPECT_TRUE(validate(plan, graph).ok());
  // What trains whole has nobody to take turns with.
  EXPECT_EQ(plan.weights[1], fixed.weights[1]);
  EXPECT_EQ(plan.weights[0].channels, fixed.weights[0].channels);
  const int channels = ir::conv(graph, ir::conv_ops(graph)[1]).in_channels;
  std::set<int> seen;
  const auto sets = static_cast<std::int64_t>(plan.weights[0].next_channels.size()) + 1;
  for (std::int64_t turn = 0; turn < sets; ++turn) {
    const auto set = *trained_channels(plan, 1, turn);
    EXPECT_EQ(set.size(), fixed.weights[0].channels.size());
    seen.insert(set.begin(), set.end());
    EXPECT_EQ(trained_channels(plan, 1, turn + 3 * sets)->data(), set.data());
  }
  EXPECT_EQ(static_cast<int>(seen.size()), channels);
  const UpdatePlan once = plan;
  add_rotation(plan, graph);
  EXPECT_EQ(plan, once);
}

TEST(Rotation, FillsTheLastSetFromTheFront) {
  ir::Graph graph = testing::chain_graph();
  for (double ratio : {0.25, 0.3, 0.5, 0.6, 0.75, 0.9}) {
    UpdatePlan plan = bias_only(graph, 4).value();
    for (int conv = 1; conv < 4; ++conv) {
      WeightUpdate update = make_weight_update(graph, conv, ratio);
      if (!update.channels.empty()) plan.weights.push_back(update);
    }
    add_rotation(plan, graph);
    EXPECT_TRUE(validate(plan, graph).ok()) << ratio;
    for (const WeightUpdate& update : plan.weights) {
      std::set<int> seen(update.channels.begin(), update.channels.end());
      for (const auto& set : update.next_channels) seen.insert(set.begin(), set.end());
      const int channels =
          ir::conv(graph, ir::conv_ops(graph)[static_cast<std::size_t>(update.conv)]).in_channels;
      EXPECT_EQ(static_cast<int>(seen.size()), channels) << ratio;
    }
  }
}

TEST(SelectChannels, OfEqualNormsTheLowerChannelComesFirst) {
  ir::Conv2D conv = zero_conv(4, 1, 1, 1);
  conv.weights = {5, -5, 7, 5};
  EXPECT_THAT(select_channels(conv, 0.5), ElementsAre(0, 2));
  EXPECT_THAT(select_channels(conv, 0.75), ElementsAre(0, 1, 2));
}

TEST(SelectChannels, SumsOverTheKernelAndDoesNotOverflow) {
  ir::Conv2D conv = zero_conv(2, 1, 3, 1);
  // Channel 0 has one large weight, channel 1 nine smaller ones that weigh more together.
  for (std::size_t tap = 0; tap < 9; ++tap) conv.weights[2 * tap + 1] = 50;
  conv.weights[0] = 127;
  EXPECT_THAT(select_channels(conv, 0.5), ElementsAre(1));
}

TEST(SelectChannels, OfADepthwiseConvolutionIsTheChannelItself) {
  ir::Conv2D conv = zero_conv(3, 3, 1, 3);
  conv.weights = {1, -9, 4};
  EXPECT_THAT(select_channels(conv, 0.4), ElementsAre(1));
  EXPECT_THAT(select_channels(conv, 0.7), ElementsAre(1, 2));
}

TEST(SelectChannels, OfAGroupedConvolutionBelongsToItsGroup) {
  ir::Conv2D conv = zero_conv(4, 4, 1, 2);
  // Outputs 0 and 1 read inputs 0 and 1, outputs 2 and 3 read inputs 2 and 3.
  conv.weights = {1, 2, 3, 1, 0, 7, 6, 1};
  // Squared norms: 1+9 = 10, 4+1 = 5, 0+36 = 36, 49+1 = 50.
  EXPECT_THAT(select_channels(conv, 0.25), ElementsAre(3));
  EXPECT_THAT(select_channels(conv, 0.75), ElementsAre(0, 2, 3));
}

TEST(Builders, MakeValidPlans) {
  const ir::Graph graph = testing::chain_graph();
  const UpdatePlan head = head_only(graph);
  EXPECT_EQ(head.bias_depth, 0);
  EXPECT_THAT(head.weights, IsEmpty());
  EXPECT_EQ(head.model, "chain");
  EXPECT_TRUE(validate(head, graph).ok());

  const UpdatePlan biases = bias_only(graph, 3).value();
  EXPECT_EQ(biases.bias_depth, 3);
  EXPECT_THAT(biases.weights, IsEmpty());
  EXPECT_TRUE(validate(biases, graph).ok());

  const UpdatePlan last = last_k(graph, 2).value();
  EXPECT_EQ(last.bias_depth, 2);
  ASSERT_EQ(last.weights.size(), 2U);
  EXPECT_EQ(last.weights[0].conv, 2);
  EXPECT_THAT(last.weights[0].channels, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(last.weights[1].conv, 3);
  EXPECT_EQ(last.weights[1].channels.size(), 16U);
  EXPECT_TRUE(validate(last, graph).ok());

  const UpdatePlan all = full(graph);
  EXPECT_EQ(all.bias_depth, 4);
  EXPECT_EQ(all.weights.size(), 4U);
  EXPECT_TRUE(validate(all, graph).ok());
}

TEST(Builders, RejectDepthsThatTheModelDoesNotHave) {
  const ir::Graph graph = testing::chain_graph();
  for (const int depth : {-1, 5}) {
    const auto biases = bias_only(graph, depth);
    ASSERT_FALSE(biases.ok());
    EXPECT_EQ(biases.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(biases.error().message(), ::testing::HasSubstr("from 0 to 4"));
    EXPECT_FALSE(last_k(graph, depth).ok());
  }
}

TEST(Queries, TellWhatTrains) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = bias_only(graph, 3).value();
  plan.weights.push_back(make_weight_update(graph, 2, 0.25));
  EXPECT_EQ(first_trained_conv(plan, graph), 1);
  EXPECT_EQ(first_trained_conv(head_only(graph), graph), 4);
  EXPECT_EQ(training_cut(plan, graph), ir::conv_ops(graph)[1]);
  EXPECT_EQ(training_cut(head_only(graph), graph), static_cast<int>(graph.ops.size()));
  EXPECT_FALSE(trains_bias(plan, graph, 0));
  EXPECT_TRUE(trains_bias(plan, graph, 1));
  EXPECT_TRUE(trains_bias(plan, graph, 3));
  EXPECT_EQ(trained_channels(plan, 1), std::nullopt);
  ASSERT_TRUE(trained_channels(plan, 2).has_value());
  EXPECT_EQ(trained_channels(plan, 2)->size(), 2U);
  EXPECT_EQ(trained_channels(plan, 2)->data(), plan.weights[0].channels.data());
  EXPECT_EQ(trained_channels(plan, 3), std::nullopt);
}

// Squared norms computed apart from select_channels().
std::vector<std::int64_t> squared_norms(const ir::Conv2D& conv) {
  std::vector<std::int64_t> norms(static_cast<std::size_t>(conv.in_channels), 0);
  const int per_group = conv.in_channels / conv.groups;
  const int taps = conv.window.kernel_h * conv.window.kernel_w;
  for (int channel = 0; channel < conv.in_channels; ++channel) {
    for (int out = 0; out < conv.out_channels; ++out) {
      if (out / (conv.out_channels / conv.groups) != channel / per_group) continue;
      for (int tap = 0; tap < taps; ++tap) {
        const int w = conv.weights[static_cast<std::size_t>((out * taps + tap) * per_group +
                                                            channel % per_group)];
        norms[static_cast<std::size_t>(channel)] += w * w;
      }
    }
  }
  return norms;
}

TEST(SelectChannels, MatchThePublishedPlans) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Json reference =
      parse_json(read_file(data / "reference" / "published_plan_channels.json").value(),
                 "reference")
          .value();
  int compared = 0;
  for (const auto& [model, plans] : reference.items()) {
    const ir::Graph& graph = testing::published_network(data, model);
    const std::vector<int> convs = ir::conv_ops(graph);
    for (const auto& [name, entries] : plans.items()) {
      for (const auto& [index, entry] : entries.items()) {
        SCOPED_TRACE(model + " " + name + " conv " + index);
        const ir::Conv2D& conv = ir::conv(graph, convs[std::stoul(index)]);
        const int kept = entry["n_keep"];
        ASSERT_EQ(conv.in_channels, entry["of"].get<int>());
        const double ratio = static_cast<double>(kept) / conv.in_channels;
        // Half a channel more keeps the truncation away from the rounding of the quotient.
        const double safe = std::min(1.0, ratio + 0.5 / conv.in_channels);
        const std::vector<int> ours = select_channels(conv, kept == 0 ? 0.0 : safe);
        const std::vector<int> theirs = entry["keep_in_channels"];
        if (!entry["boundary_tie"].get<bool>()) {
          EXPECT_EQ(ours, theirs);
        } else {
          // Equal norms may be cut off anywhere, so the multisets of norms must agree.
          const std::vector<std::int64_t> norms = squared_norms(conv);
          std::multiset<std::int64_t> a;
          std::multiset<std::int64_t> b;
          for (const int c : ours) a.insert(norms[static_cast<std::size_t>(c)]);
          for (const int c : theirs) b.insert(norms[static_cast<std::size_t>(c)]);
          EXPECT_EQ(a, b);
        }
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 90);
}

}  // namespace
}  // namespace espalier::plan
