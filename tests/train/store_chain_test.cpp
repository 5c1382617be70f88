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
  StoreChainTest()
      : network_(small_network(2)),
        first_{*SampleStore::from_samples(network_, toy_samples(network_.graph(), 20, 1), 1),
               *SampleStore::from_samples(network_, toy_samples(network_.graph(), 10, 2), 1)} {}

  [[nodiscard]] std::int64_t bytes_at(int cut) const {
    return 30 * static_cast<std::int64_t>(SampleStore::sample_bytes(network_, cut));
  }

  Network network_;
  StoreChain::Stores first_;
};

TEST_F(StoreChainTest, FollowsTheCutsWhenMemoryAllows) {
  StoreChain chain(network_, first_, Bytes{std::int64_t{1} << 30});
  for (const int cut : network_.convs()) {
    const StoreChain::Stores stores = chain.at(cut, 1);
    EXPECT_EQ(stores.training->cut(), cut);
    EXPECT_EQ(stores.validation->cut(), cut);
  }
}

TEST_F(StoreChainTest, KeepsWhatItStartedFromWithoutMemory) {
  StoreChain chain(network_, first_, Bytes{0});
  for (const int cut : network_.convs()) EXPECT_EQ(chain.at(cut, 1).training, first_.training);
  EXPECT_EQ(chain.most().count, bytes_at(0));
}

// Trainings that go on hold their stores: whatever is in use at once stays within the limit.
TEST_F(StoreChainTest, CountsStoresInUse) {
  std::int64_t largest = 0;
  for (const int cut : network_.convs()) largest = std::max(largest, bytes_at(cut));
  for (int held = 0; held < 4; ++held) {
    const Bytes limit{bytes_at(0) + largest * 2};
    StoreChain chain(network_, first_, limit);
    std::vector<StoreChain::Stores> in_use;
    int deepest = 0;
    for (const int cut : network_.convs()) {
      in_use.push_back(chain.at(cut, 1));
      if (in_use.size() > static_cast<std::size_t>(held)) in_use.erase(in_use.begin());
      EXPECT_LE(in_use.empty() ? 0 : in_use.back().training->cut(), cut);
      deepest = std::max(deepest, chain.at(cut, 1).training->cut());
    }
    EXPECT_LE(chain.most(), limit);
    EXPECT_GT(deepest, 0);
  }
}

TEST_F(StoreChainTest, GoesOnWhenMemoryIsFreeAgain) {
  const int early = network_.convs()[2];
  const int late = network_.convs().back();
  StoreChain chain(network_, first_, Bytes{bytes_at(0) + bytes_at(early) + bytes_at(late) - 1});
  StoreChain::Stores in_use = chain.at(early, 1);
  EXPECT_EQ(in_use.training->cut(), early);
  // first_, of this fixture, is alive: the late cut does not fit beside it and the early one.
  EXPECT_EQ(chain.at(late, 1).training->cut(), early);
  first_ = {};
  EXPECT_EQ(chain.at(late, 1).training->cut(), late);
}

}  // namespace
}  // namespace espalier::train
