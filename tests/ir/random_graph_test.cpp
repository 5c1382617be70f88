// What the generators of random networks draw: what they do not, no test of kernels, passes or
// training would meet.
#include "testing/random_graph.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <variant>

#include "espalier/ir/graph.hpp"

namespace espalier {
namespace {

using Counts = std::array<int, std::variant_size_v<ir::OpParams>>;

Counts ops_of(ir::Graph (*network)(std::uint64_t), std::uint64_t seeds) {
  Counts counts{};
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    for (const ir::Op& op : network(seed).ops) ++counts[op.params.index()];
  }
  return counts;
}

template <std::size_t... kOp>
void expect_all(const Counts& counts, int least, std::index_sequence<kOp...>) {
  const auto expect = [&](std::size_t op, const ir::OpParams& params) {
    EXPECT_GE(counts[op], least) << ir::mnemonic(params);
  };
  (expect(kOp, std::variant_alternative_t<kOp, ir::OpParams>{}), ...);
}

TEST(RandomNetworks, HaveEveryOp) {
  expect_all(ops_of(&testing::random_network, 100), 10,
             std::make_index_sequence<std::variant_size_v<ir::OpParams>>{});
}

TEST(RandomTowers, SelectChannels) {
  const Counts counts = ops_of(&testing::random_tower, 100);
  EXPECT_GE(counts[ir::OpParams(ir::Select{}).index()], 20);
  EXPECT_GE(counts[ir::OpParams(ir::Lookup{}).index()], 20);
  EXPECT_GE(counts[ir::OpParams(ir::Add{}).index()], 20);
}

}  // namespace
}  // namespace espalier
