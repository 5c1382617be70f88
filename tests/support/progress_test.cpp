#include "espalier/support/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace espalier {
namespace {

TEST(Progress, SaysNothingUnlessEnabled) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress({.enabled = false}, "training", 10);
    std::this_thread::sleep_for(std::chrono::milliseconds(210));
    progress.advance(10);
    progress.note("done");
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Progress, IsEnabledOnTerminalsThatUnderstandEscapes) {
  const auto enabled = [](const char* term) {
    if (term == nullptr) {
      unsetenv("TERM");
    } else {
      setenv("TERM", term, 1);
    }
    return default_progress().enabled;
  };
  const int before = dup(STDERR_FILENO);
  int file[2];
  ASSERT_EQ(pipe(file), 0);
  dup2(file[1], STDERR_FILENO);
  EXPECT_FALSE(enabled("xterm"));
  int terminal = -1;
  int its_end = -1;
  const bool opened = openpty(&terminal, &its_end, nullptr, nullptr, nullptr) == 0;
  dup2(its_end, STDERR_FILENO);
  const bool understood = enabled("xterm");
  const bool dumb = enabled("dumb");
  const bool empty = enabled("");
  const bool unset = enabled(nullptr);
  dup2(before, STDERR_FILENO);
  for (const int descriptor : {before, file[0], file[1], terminal, its_end}) close(descriptor);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(understood);
  EXPECT_FALSE(dumb);
  EXPECT_FALSE(empty);
  EXPECT_FALSE(unset);
}

TEST(Progress, DrawsWhatHowFarAndTheNote) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress({.enabled = true}, "training", 10);
    progress.note("loss 1.5");
    std::this_thread::sleep_for(std::chrono::milliseconds(210));
    progress.advance(5);
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, ::testing::HasSubstr("training  50 %"));
  EXPECT_THAT(text, ::testing::HasSubstr("loss 1.5"));
  EXPECT_THAT(text, ::testing::EndsWith("\n"));
}

TEST(Progress, CountsFromManyThreads) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress({.enabled = true}, "work", 4000);
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 999; ++i) progress.advance(1);
        });
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(210));
    progress.advance(4);
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("100 %"));
}

}  // namespace
}  // namespace espalier
