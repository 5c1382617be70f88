#include "espalier/support/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace espalier {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{ErrorKind::kBadInput, std::to_string(n) + " is odd"};
  return n / 2;
}

Result<int> quarter(int n) {
  ESPALIER_TRY(const int once, half(n));
  ESPALIER_TRY(int twice, half(once));
  return twice;
}

Status both_even(int a, int b, int& checks) {
  const auto check = [&](int n) -> Status {
    ++checks;
    ESPALIER_TRY([[maybe_unused]] const int ignored, half(n));
    return Ok{};
  };
  ESPALIER_CHECK_OK(check(a));
  ESPALIER_CHECK_OK(check(b));
  return Ok{};
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half(8);
  EXPECT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(*good, 4);
  const Result<int> bad = half(7);
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(bad.error().message(), "7 is odd");
}

TEST(Result, MovesValuesThatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 5);
  const auto pass_on = []() -> Result<int> {
    ESPALIER_TRY(const std::unique_ptr<int> p,
                 Result<std::unique_ptr<int>>(std::make_unique<int>(6)));
    return *p;
  };
  EXPECT_EQ(*pass_on(), 6);
}

TEST(Try, PassesValuesOnAndErrorsUp) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(7).error().message(), "7 is odd");
  EXPECT_EQ(quarter(6).error().message(), "3 is odd");
}

TEST(Try, AssignsToWhatExists) {
  const auto run = [](int n) -> Result<int> {
    int x = 0;
    ESPALIER_TRY(x, half(n));
    return x;
  };
  EXPECT_EQ(*run(2), 1);
}

TEST(CheckOk, StopsAtTheFirstError) {
  int checks = 0;
  EXPECT_TRUE(both_even(2, 4, checks).ok());
  EXPECT_EQ(checks, 2);
  checks = 0;
  EXPECT_EQ(both_even(1, 3, checks).error().message(), "1 is odd");
  EXPECT_EQ(checks, 1);
}

TEST(Error, JoinsItsDiagnostics) {
  const Error error(ErrorKind::kBadInput, std::vector<std::string>{"a", "b", "c"});
  EXPECT_EQ(error.message(), "a\nb\nc");
  EXPECT_EQ(static_cast<int>(error.kind), 65);
}

}  // namespace
}  // namespace espalier
