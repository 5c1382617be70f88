#include "espalier/train/store_chain.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace espalier::train {
namespace {

using espalier::testing::small_network;
using espalier::testing::toy_samples;

class StoreChainTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::int64_t bytes_at(int cut) const {
    return 30 * static_cast<std::int64_t>(SampleStore::sample_bytes(network_, cut));
  }
  [[nodiscard]] StoreChain chain(std::int64_t limit) const {
    return {network_, training_, validation_, Bytes{limit}};
  }
  // Loads every sample and compares it with that of a store made from the samples alone.
  void expect_right(const StoreChain::Stores& stores) const {
    const int cut = stores.training->cut();
    const auto expected = *SampleStore::from_samples(network_, training_, 1, cut);
    const Session session(network_, plan::head_only(network_.graph()), network_.graph().head, cut);
    Workspace one(session);
    Workspace two(session);
    for (std::uint32_t i = 0; i < 20; ++i) {
      stores.training->load({&i, 1}, one);
      expected->load({&i, 1}, two);
      EXPECT_EQ(stores.training->label(i), expected->label(i));
      for (const ir::TensorId id : network_.live_at(cut)) {
        EXPECT_TRUE(std::equal(one.activation(id), one.activation(id) + network_.elements(id),
                               two.activation(id)));
      }
    }
  }

  Network network_{small_network(2)};
  data::Samples training_ = toy_samples(network_.graph(), 20, 1);
  data::Samples validation_ = toy_samples(network_.graph(), 10, 2);
};

TEST_F(StoreChainTest, FollowsTheCutsWhenMemoryAllows) {
  StoreChain stores = chain(std::int64_t{1} << 30);
  for (const int cut : network_.convs()) {
    const StoreChain::Stores at = *stores.at(cut, 1);
    EXPECT_EQ(at.training->cut(), cut);
    EXPECT_EQ(at.validation->cut(), cut);
    expect_right(at);
  }
}

TEST_F(StoreChainTest, MakesInputsOnDemandWithoutMemory) {
  StoreChain stores = chain(0);
  for (const int cut : network_.convs()) {
    const StoreChain::Stores at = *stores.at(cut, 2);
    EXPECT_EQ(at.training->cut(), 0);
    EXPECT_FALSE(at.training->holds_samples());
    EXPECT_EQ(at.training->bytes() + at.validation->bytes(), 0U);
    expect_right(at);
  }
  EXPECT_EQ(stores.most().count, 0);
}

// Inputs are 192 bytes a sample and need not fit where later tensors do.
TEST_F(StoreChainTest, InputsNeedNotFit) {
  const int last = static_cast<int>(network_.graph().ops.size());
  ASSERT_LT(bytes_at(last), bytes_at(0));
  StoreChain stores = chain(bytes_at(last));
  EXPECT_FALSE(stores.at(0, 1)->training->holds_samples());
  const StoreChain::Stores at = *stores.at(last, 1);
  EXPECT_EQ(at.training->cut(), last);
  EXPECT_TRUE(at.training->holds_samples());
  EXPECT_LE(stores.most().count, bytes_at(last));
  expect_right(at);
}

// With nobody at the old samples the new ones take their place: both together need not fit.
TEST_F(StoreChainTest, NewSamplesReplaceOldOnes) {
  const int last = static_cast<int>(network_.graph().ops.size());
  StoreChain stores = chain(bytes_at(0) + 40);
  EXPECT_EQ(stores.at(0, 1)->training->cut(), 0);
  EXPECT_EQ(stores.at(last, 1)->training->cut(), 0);  // a chunk of the new ones is too much
  StoreChain roomy = chain(bytes_at(0) + bytes_at(last) - 1);
  EXPECT_EQ(roomy.at(0, 1)->training->cut(), 0);
  const StoreChain::Stores at = *roomy.at(last, 1);
  EXPECT_EQ(at.training->cut(), last);
  expect_right(at);
}

// Trainings that go on hold their stores: whatever is in use at once stays within the limit.
TEST_F(StoreChainTest, CountsStoresInUse) {
  std::int64_t largest = 0;
  for (const int cut : network_.convs()) largest = std::max(largest, bytes_at(cut));
  for (int held = 0; held < 4; ++held) {
    const std::int64_t limit = largest * 2;
    StoreChain stores = chain(limit);
    std::vector<StoreChain::Stores> in_use;
    int deepest = 0;
    for (const int cut : network_.convs()) {
      in_use.push_back(*stores.at(cut, 1));
      if (in_use.size() > static_cast<std::size_t>(held)) in_use.erase(in_use.begin());
      EXPECT_LE(in_use.empty() ? 0 : in_use.back().training->cut(), cut);
      deepest = std::max(deepest, stores.at(cut, 1)->training->cut());
    }
    EXPECT_LE(stores.most().count, limit);
    EXPECT_GT(deepest, 0);
  }
}

TEST_F(StoreChainTest, GoesOnWhenMemoryIsFreeAgain) {
  const int early = network_.convs()[2];
  const int late = static_cast<int>(network_.graph().ops.size());
  StoreChain stores = chain(bytes_at(early) + bytes_at(late) - 1);
  StoreChain::Stores in_use = *stores.at(early, 1);
  EXPECT_EQ(in_use.training->cut(), early);
  EXPECT_EQ(stores.at(late, 1)->training->cut(), early);
  in_use = {};
  EXPECT_EQ(stores.at(late, 1)->training->cut(), late);
}

TEST_F(StoreChainTest, GoesBackWhenAsked) {
  StoreChain stores = chain(std::int64_t{1} << 30);
  EXPECT_EQ(stores.at(5, 1)->training->cut(), 5);
  const StoreChain::Stores at = *stores.at(2, 1);
  EXPECT_EQ(at.training->cut(), 2);
  expect_right(at);
}

}  // namespace
}  // namespace espalier::train
