#include "espalier/train/recipe.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace espalier::train {
namespace {

TEST(Recipe, LearningRateRisesThenFollowsACosine) {
  const Recipe recipe{.epochs = 5, .batch = 64, .learning_rate = 0.1, .warmup_epochs = 1};
  const auto at = [&](std::int64_t step) { return learning_rate_at(recipe, step, 50, 10); };
  EXPECT_FLOAT_EQ(at(0), 0.0025F);
  EXPECT_FLOAT_EQ(at(9), 0.025F);
  EXPECT_FLOAT_EQ(at(10), 0.025F);
  EXPECT_NEAR(at(30), 0.0125F, 1e-6);
  EXPECT_GT(at(49), 0.0F);
  EXPECT_LT(at(49), 0.0001F);
}

// The published code: a rise from 0, and a cosine over all steps that begins behind the warm-up.
TEST(Recipe, PublishedScheduleStartsAtZeroAndEndsAboveIt) {
  const Recipe recipe{.epochs = 10,
                      .batch = 64,
                      .learning_rate = 0.1,
                      .warmup_epochs = 1,
                      .schedule = Schedule::kPublished};
  const auto at = [&](std::int64_t step) { return learning_rate_at(recipe, step, 1000, 100); };
  EXPECT_EQ(at(0), 0.0F);
  EXPECT_FLOAT_EQ(at(50), 0.0125F);
  EXPECT_FLOAT_EQ(at(100), 0.025F);
  EXPECT_NEAR(at(600), 0.0125F, 1e-6);
  EXPECT_NEAR(at(999) / 0.025F, 0.024, 0.001);  // 2.4 % of the peak with 10 epochs
  Recipe two_epochs = recipe;
  two_epochs.epochs = 2;
  EXPECT_NEAR(learning_rate_at(two_epochs, 199, 200, 100) / 0.025F, 0.5, 0.01);
}

TEST(Recipe, AConstantScheduleStaysAtItsPeak) {
  const Recipe recipe{
      .epochs = 10, .batch = 64, .learning_rate = 0.1, .schedule = Schedule::kConstant};
  const auto at = [&](std::int64_t step) { return learning_rate_at(recipe, step, 1000, 100); };
  EXPECT_FLOAT_EQ(at(49), 0.0125F);
  for (const std::int64_t step : {99, 100, 500, 999}) EXPECT_FLOAT_EQ(at(step), 0.025F) << step;
  EXPECT_EQ(recipe_from_json(to_json(recipe), "recipe").value(), recipe);
}

// The head has the peak; what follows is a training of fewer epochs.
TEST(Recipe, EpochsOfTheHeadComeBeforeTheSchedule) {
  for (const Schedule schedule : {Schedule::kStandard, Schedule::kPublished, Schedule::kConstant}) {
    Recipe rest{.epochs = 8, .batch = 64, .learning_rate = 0.1, .schedule = schedule};
    Recipe recipe = rest;
    recipe.epochs = 10;
    recipe.head_epochs = 2;
    EXPECT_EQ(recipe_from_json(to_json(recipe), "recipe").value(), recipe);
    EXPECT_FALSE(to_json(rest).contains("head_epochs"));
    for (std::int64_t step = 0; step < 1000; ++step) {
      ASSERT_EQ(learning_rate_at(recipe, step, 1000, 100),
                step < 200 ? 0.025F : learning_rate_at(rest, step - 200, 800, 100))
          << step;
    }
  }
  for (const int wrong : {-1, 10, 11}) {
    const Status status = check(Recipe{.epochs = 10, .head_epochs = wrong});
    ASSERT_FALSE(status.ok()) << wrong;
    EXPECT_NE(status.error().message().find("--head-epochs"), std::string::npos);
  }
  const Status late = check(Recipe{.epochs = 3, .warmup_epochs = 2.5, .head_epochs = 1});
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message().find("0..2"), std::string::npos);
}

// 100 samples in updates of 64: the head has 7 of the 15, not one an epoch.
TEST(Recipe, EpochsOfTheHeadEndWhereTheyDoWithUpdatesAcrossEpochs) {
  const Recipe recipe{.epochs = 10, .batch = 64, .learning_rate = 0.1, .head_epochs = 5};
  const Recipe rest{.epochs = 5, .batch = 64, .learning_rate = 0.1};
  for (std::int64_t step = 0; step < 15; ++step) {
    EXPECT_EQ(learning_rate_at(recipe, step, 15, 1),
              step < 7 ? 0.025F : learning_rate_at(rest, step - 7, 8, 1))
        << step;
  }
  // Updates of several epochs: the schedule begins behind the head all the same.
  const Recipe wide{.epochs = 10, .batch = 300, .warmup_epochs = 0, .head_epochs = 4};
  EXPECT_LT(learning_rate_at(wide, 2, 3, 1), learning_rate_at(wide, 0, 3, 1));
}

TEST(Recipe, HasAClipWhereThereIsOne) {
  const Recipe recipe{.clip = 3};
  EXPECT_EQ(to_json(recipe)["clip"], 3);
  EXPECT_EQ(recipe_from_json(to_json(recipe), "recipe").value(), recipe);
  EXPECT_FALSE(to_json(Recipe{}).contains("clip"));
  for (const int wrong : {-1, 128}) {
    const Status status = check(Recipe{.clip = wrong});
    ASSERT_FALSE(status.ok()) << wrong;
    EXPECT_EQ(status.error().message(), fmt::format("--clip {} must lie in 0..127", wrong));
  }
}

TEST(Recipe, WithoutAScheduleIsTheStandardOne) {
  Json old = to_json(Recipe{});
  EXPECT_EQ(old["schedule"], "standard");
  old.erase("schedule");
  EXPECT_EQ(recipe_from_json(old, "recipe").value(), Recipe{});
  old["schedule"] = "linear";
  EXPECT_EQ(recipe_from_json(old, "recipe").error().kind, ErrorKind::kBadInput);
}

TEST(Recipe, SurvivesJson) {
  const Recipe recipe{.epochs = 3,
                      .batch = 8,
                      .learning_rate = 0.05,
                      .warmup_epochs = 0.5,
                      .schedule = Schedule::kPublished,
                      .qas = false,
                      .seed = 9};
  const Result<Recipe> read = recipe_from_json(to_json(recipe), "recipe");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, recipe);
  Json broken = to_json(recipe);
  broken["epochs"] = "many";
  EXPECT_EQ(recipe_from_json(broken, "recipe").error().kind, ErrorKind::kBadInput);
}

TEST(Recipe, RatesAreFloats) {
  for (const double rate : {-0.1, 1e39, std::numeric_limits<double>::infinity()}) {
    EXPECT_FALSE(check({.learning_rate = rate}).ok()) << rate;
  }
  for (const double rate : {0.0, 3.4e38}) EXPECT_TRUE(check({.learning_rate = rate}).ok()) << rate;
}

TEST(Recipe, RejectsNonsenseAllAtOnce) {
  const Status status = check({.epochs = 0,
                               .batch = 0,
                               .learning_rate = std::numeric_limits<double>::quiet_NaN(),
                               .warmup_epochs = -1});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(status.error().diagnostics.size(), 4U);
}

}  // namespace
}  // namespace espalier::train
