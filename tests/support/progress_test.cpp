#include "espalier/support/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
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
