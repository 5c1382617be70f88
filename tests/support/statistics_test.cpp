#include "espalier/support/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace espalier {
namespace {

TEST(StandardError, IsThatOfTheMean) {
  EXPECT_DOUBLE_EQ(standard_error(std::vector{1.0, 3.0}, 2), 1);
  EXPECT_DOUBLE_EQ(standard_error(std::vector{2.0, 4.0, 4.0, 6.0}, 4), std::sqrt(8.0 / 3 / 4));
  EXPECT_EQ(standard_error(std::vector{5.0, 5.0}, 5), 0);
}

TEST(RankCorrelation, OfKnownOrders) {
  const std::vector<double> up{1, 2, 3, 4};
  const std::vector<double> down{9, 7, 0, -3};
  EXPECT_DOUBLE_EQ(*rank_correlation(up, up), 1);
  EXPECT_DOUBLE_EQ(*rank_correlation(up, down), -1);
  // One swap of neighbours among four: 1 - 6 * 2 / (4 * 15).
  EXPECT_DOUBLE_EQ(*rank_correlation(up, std::vector<double>{1, 3, 2, 4}), 0.8);
  // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 * 5).
  EXPECT_DOUBLE_EQ(
      *rank_correlation(std::vector<double>{1, 2, 2, 3}, std::vector<double>{1, 3, 2, 4}),
      4.5 / std::sqrt(4.5 * 5));
}

TEST(RankCorrelation, HasNoValueWhereNothingVaries) {
  const std::vector<double> values{1, 2, 3};
  EXPECT_FALSE(rank_correlation(values, std::vector<double>{5, 5, 5}).has_value());
  EXPECT_FALSE(rank_correlation(std::vector<double>{1, 2}, std::vector<double>{1, 2}).has_value());
}

TEST(ExplainedVariance, OfKnownSeries) {
  const std::vector<double> observed{1, 2, 3, 6};
  EXPECT_DOUBLE_EQ(*explained_variance(observed, observed), 1);
  EXPECT_DOUBLE_EQ(*explained_variance(std::vector<double>{3, 3, 3, 3}, observed), 0);
  // Residuals 0, 0, 0, 7 against deviations 2, 1, 0, 3.
  EXPECT_DOUBLE_EQ(*explained_variance(std::vector<double>{1, 2, 3, -1}, observed), 1 - 49.0 / 14);
}

TEST(ExplainedVariance, HasNoValueWhereNothingVaries) {
  const std::vector<double> values{1, 2, 3};
  EXPECT_FALSE(explained_variance(values, std::vector<double>{5, 5, 5}).has_value());
  EXPECT_FALSE(explained_variance(values, std::vector<double>{5, 5}).has_value());
}

// Published quantiles, and the closed forms of one and two degrees.
TEST(Statistics, StudentsDistribution) {
  EXPECT_NEAR(student_cdf(1, 1), 0.75, 1e-12);
  EXPECT_NEAR(student_cdf(2, 2), 0.5 + 2 / (2 * std::sqrt(6.0)), 1e-12);
  EXPECT_NEAR(student_cdf(6.3138, 1), 0.95, 1e-5);
  EXPECT_NEAR(student_cdf(2.3534, 3), 0.95, 1e-5);
  EXPECT_NEAR(student_cdf(2.7764, 4), 0.975, 1e-5);
  EXPECT_NEAR(student_cdf(2.0150, 5), 0.95, 1e-5);
  EXPECT_NEAR(student_cdf(3.1693, 10), 0.995, 1e-5);
  EXPECT_NEAR(student_cdf(1.6469, 900), 0.95, 1e-4);
  for (const int freedom : {1, 2, 3, 8}) {
    EXPECT_DOUBLE_EQ(student_cdf(0, freedom), 0.5);
    EXPECT_NEAR(student_cdf(-1.3, freedom), 1 - student_cdf(1.3, freedom), 1e-12);
  }
}

TEST(NormalCdf, IsThatOfTables) {
  EXPECT_DOUBLE_EQ(normal_cdf(0), 0.5);
  EXPECT_NEAR(normal_cdf(1.959964), 0.975, 1e-7);
  EXPECT_NEAR(normal_cdf(-1), 0.1586552539, 1e-9);
}

}  // namespace
}  // namespace espalier
