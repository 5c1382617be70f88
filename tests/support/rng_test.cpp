#include "espalier/support/rng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <vector>

namespace espalier {
namespace {

TEST(SplitMix64, MatchesThePublishedSequence) {
  // The first outputs of the authors' reference implementation for state 1234567.
  std::uint64_t state = 1234567;
  EXPECT_EQ(splitmix64(state), 6457827717110365317ULL);
  EXPECT_EQ(splitmix64(state), 3203168211198807973ULL);
  EXPECT_EQ(splitmix64(state), 9817491932198370423ULL);
}

TEST(Rng, DependsOnTheKeyAlone) {
  Rng a{7, 1, 2};
  Rng b{7, 1, 2};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next_u64(), b.next_u64());
}

TEST(Rng, HasADifferentStreamForEveryKey) {
  std::set<std::uint64_t> first;
  for (std::uint64_t i = 0; i < 100; ++i) {
    for (std::uint64_t j = 0; j < 100; ++j) first.insert(Rng{i, j}.next_u64());
  }
  EXPECT_EQ(first.size(), 10000U);
  EXPECT_NE(Rng({1}).next_u64(), Rng({1, 0}).next_u64()) << "the key's length is part of it";
  EXPECT_NE(Rng({1, 2}).next_u64(), Rng({2, 1}).next_u64()) << "the key's order is part of it";
}

TEST(Rng, BelowStaysBelowAndReachesEveryValue) {
  Rng rng{3};
  std::array<int, 7> histogram{};
  for (int i = 0; i < 70000; ++i) {
    const std::uint64_t x = rng.below(7);
    ASSERT_LT(x, 7U);
    ++histogram[x];
  }
  // Standard deviation about 93.
  for (const int count : histogram) EXPECT_NEAR(count, 10000, 500);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(rng.below(1), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_LT(rng.below(UINT64_MAX), UINT64_MAX);
}

TEST(Rng, UniformStaysInsideItsRange) {
  Rng rng{4};
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
  for (int i = 0; i < 1000; ++i) {
    const double x = rng.uniform(-2, 3);
    ASSERT_GE(x, -2.0);
    ASSERT_LT(x, 3.0);
  }
}

TEST(Rng, ChanceFollowsTheProbability) {
  Rng rng{5};
  int hits = 0;
  for (int i = 0; i < 10000; ++i) hits += rng.chance(0.3) ? 1 : 0;
  EXPECT_NEAR(hits, 3000, 250);
  EXPECT_FALSE(rng.chance(0.0));
  EXPECT_TRUE(rng.chance(1.0));
}

TEST(Rng, PermutationHoldsEveryIndexOnce) {
  for (const std::size_t n : {0U, 1U, 2U, 17U, 1000U}) {
    std::vector<std::uint32_t> order = Rng{6, n}.permutation(n);
    EXPECT_EQ(order, (Rng{6, n}.permutation(n)));
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(order[i], i);
    ASSERT_EQ(order.size(), n);
  }
  EXPECT_NE((Rng{6, 1}.permutation(1000)), (Rng{6, 2}.permutation(1000)));
}

TEST(Rng, PermutationPutsEveryIndexEverywhere) {
  std::array<std::array<int, 4>, 4> at{};
  for (std::uint64_t seed = 0; seed < 8000; ++seed) {
    const auto order = Rng{seed}.permutation(4);
    for (std::size_t i = 0; i < 4; ++i) ++at[i][order[i]];
  }
  // Standard deviation about 39.
  for (const auto& row : at) {
    for (const int count : row) EXPECT_NEAR(count, 2000, 200);
  }
}

}  // namespace
}  // namespace espalier
