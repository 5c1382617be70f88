#include "espalier/support/words.hpp"

#include <gtest/gtest.h>

namespace espalier {
namespace {

TEST(Words, TheNearestIsFoundOrNone) {
  const std::vector<std::string> words{"seed", "seeds", "budget", "budgets"};
  EXPECT_EQ(nearest("buget", words), "budget");
  EXPECT_EQ(nearest("bugdets", words), "budgets");  // neighbours exchanged
  EXPECT_EQ(nearest("sead", words), "seed");
  EXPECT_EQ(nearest("memory", words), "");
  EXPECT_EQ(nearest("seed", {}), "");
}

}  // namespace
}  // namespace espalier
