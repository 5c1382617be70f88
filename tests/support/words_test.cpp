#include "espalier/support/words.hpp"

#include <gtest/gtest.h>

#include "espalier/support/process.hpp"

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

// A shell gives back every word as it was.
TEST(ShellWord, SurvivesAShell) {
  for (const std::string word :
       {"plain", "a b", "it's", "$HOME", "", "a\"b\\c", "*", "x;y", "-n", "\xc3\xa4"}) {
    const auto echoed = run_process({"sh", "-c", "printf %s " + shell_word(word)}, ".", {});
    ASSERT_TRUE(echoed.ok());
    EXPECT_EQ(echoed->output, word);
  }
}

}  // namespace
}  // namespace espalier
