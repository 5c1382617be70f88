#include "espalier/support/interrupt.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace espalier {
namespace {

TEST(Interrupt, IsSetByASignal) {
  set_interrupted(false);
  install_interrupt_handler();
  EXPECT_FALSE(interrupted());
  std::raise(SIGINT);
  EXPECT_TRUE(interrupted());
  set_interrupted(false);
  EXPECT_FALSE(interrupted());
}

TEST(InterruptDeathTest, EndsTheProcessTheSecondTime) {
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGTERM);
        std::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace espalier
