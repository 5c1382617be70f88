#include "espalier/data/subset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "data/data_files.hpp"

namespace espalier::data {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::labelled;
using ::testing::Le;

using Take = SubsetOptions::Take;

// Which records of labelled() a part of it holds.
std::vector<int> origin(const Dataset& part) {
  std::vector<int> records;
  for (const Image& image : part.images) records.push_back(image.pixels[0]);
  return records;
}

std::vector<int> per_class(const Dataset& dataset) {
  std::vector<int> counts(static_cast<std::size_t>(dataset.classes), 0);
  for (const int label : dataset.labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

// Class 0 has 50 records, class 1 has 3, class 2 has 60, class 3 has 40; mixed up.
Dataset uneven() {
  std::vector<int> labels;
  const std::vector<int> sizes{50, 3, 60, 40};
  std::vector<int> left = sizes;
  for (int i = 0; labels.size() < 153; ++i) {
    const auto c = static_cast<std::size_t>(i * 7 % 4);
    if (left[c]-- > 0) labels.push_back(static_cast<int>(c));
  }
  return labelled(labels, 4);
}

TEST(Subset, WithoutOptionsKeepsEverything) {
  const Dataset all = uneven();
  const Result<Dataset> same = subset(all, {});
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->images, all.images);
  EXPECT_EQ(same->labels, all.labels);
  EXPECT_THAT(same->selections, IsEmpty());
}

TEST(Subset, TakesTheFirstRecords) {
  const Result<Dataset> part =
      subset(labelled({2, 0, 1, 1, 0}, 3), {.classes = {}, .limit = 3, .take = Take::kFirst});
  ASSERT_TRUE(part.ok());
  EXPECT_THAT(origin(*part), ElementsAre(0, 1, 2));
  EXPECT_THAT(part->labels, ElementsAre(2, 0, 1));
  EXPECT_EQ(part->classes, 3);
}

TEST(Subset, KeepsClassesInTheGivenOrder) {
  const Result<Dataset> part = subset(labelled({2, 0, 1, 1, 0, 3}, 4), {.classes = {3, 1}});
  ASSERT_TRUE(part.ok());
  EXPECT_THAT(origin(*part), ElementsAre(2, 3, 5));
  EXPECT_THAT(part->labels, ElementsAre(1, 1, 0));
  EXPECT_EQ(part->classes, 2);
  EXPECT_THAT(part->class_names, ElementsAre("class 3", "class 1"));
}

TEST(Subset, AppliesTheLimitAfterTheClasses) {
  const Result<Dataset> part =
      subset(labelled({0, 1, 2, 1, 0, 1}, 3), {.classes = {1}, .limit = 2, .take = Take::kFirst});
  ASSERT_TRUE(part.ok());
  EXPECT_THAT(origin(*part), ElementsAre(1, 3));
}

TEST(Subset, BalancesClassesWhileTheyLast) {
  const Dataset all = uneven();
  for (std::int64_t limit = 1; limit <= all.size(); ++limit) {
    for (const std::uint64_t seed : {0U, 5U}) {
      const Result<Dataset> part = subset(all, {.classes = {}, .limit = limit, .seed = seed});
      ASSERT_TRUE(part.ok());
      EXPECT_EQ(part->size(), limit);
      const std::vector<int> available = per_class(all);
      const std::vector<int> taken = per_class(*part);
      const int most = *std::max_element(taken.begin(), taken.end());
      for (std::size_t c = 0; c < 4; ++c) {
        EXPECT_THAT(taken[c], AllOf(Ge(std::min(available[c], most - 1)), Le(available[c])));
      }
      const std::vector<int> records = origin(*part);
      EXPECT_TRUE(std::is_sorted(records.begin(), records.end())) << "file order";
      for (std::size_t i = 0; i < records.size(); ++i) {
        ASSERT_EQ(part->labels[i], all.labels[static_cast<std::size_t>(records[i])]);
      }
    }
  }
}

TEST(Subset, IsDecidedByTheSeed) {
  const auto take = [](std::uint64_t seed) {
    return origin(*subset(uneven(), {.classes = {}, .limit = 20, .seed = seed}));
  };
  EXPECT_EQ(take(1), take(1));
  EXPECT_NE(take(1), take(2));
}

TEST(Subset, GrowsWithTheLimit) {
  std::vector<int> smaller;
  for (std::int64_t limit = 1; limit <= 153; ++limit) {
    const std::vector<int> larger = origin(*subset(uneven(), {.classes = {}, .limit = limit}));
    EXPECT_TRUE(std::includes(larger.begin(), larger.end(), smaller.begin(), smaller.end()));
    smaller = larger;
  }
}

TEST(Subset, SpreadsARemainderOverAllClasses) {
  std::vector<int> labels;
  for (int i = 0; i < 200; ++i) labels.push_back(i % 20);
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    seen.insert(subset(labelled(labels, 20), {.classes = {}, .limit = 1, .seed = seed})->labels[0]);
  }
  EXPECT_EQ(seen.size(), 20U);
}

TEST(Subset, RefusesWhatCannotBe) {
  const auto expect = [](const SubsetOptions& options, const char* text) {
    const Result<Dataset> part = subset(labelled({0, 0, 1}, 3), options);
    ASSERT_FALSE(part.ok()) << text;
    EXPECT_EQ(part.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(part.error().message(), HasSubstr(text));
  };
  expect({.classes = {}, .limit = 4}, "limit 4, but only 3 records");
  expect({.classes = {0}, .limit = 3}, "limit 3, but only 2 records");
  expect({.classes = {}, .limit = -1}, "limit -1 is negative");
  expect({.classes = {3}}, "no class 3; classes are 0 to 2");
  expect({.classes = {-1}}, "no class -1");
  expect({.classes = {0, 1, 0}}, "class 0 is named twice");
  expect({.classes = {0, 2}}, "class 2 has no record");
}

TEST(Subset, LeavesItsTraceInTheIdentity) {
  Dataset part = *subset(uneven(), {.classes = {2, 0}, .limit = 30, .seed = 9});
  part = *subset(std::move(part), {.classes = {}, .limit = 10, .take = Take::kFirst});
  const Json expected = {
      {"spec", "cifar10:made.bin"},
      {"sha256", "0123"},
      {"count", 10},
      {"classes", 2},
      {"class_names", {"class 2", "class 0"}},
      {"selections",
       {{{"step", "subset"}, {"classes", {2, 0}}, {"limit", 30}, {"take", "balanced"}, {"seed", 9}},
        {{"step", "subset"}, {"limit", 10}, {"take", "first"}}}}};
  EXPECT_EQ(identity_json(part), expected);
}

TEST(Split, IsDisjointCompleteAndBalanced) {
  std::vector<int> labels;
  for (int i = 0; i < 200; ++i) labels.push_back(i * 3 % 10);
  const Dataset all = labelled(labels, 10);
  for (const std::int64_t count : {1, 7, 50, 120, 190}) {
    const Result<Split> parts = split(all, count, 3);
    ASSERT_TRUE(parts.ok()) << parts.error().message();
    EXPECT_EQ(parts->validation.size(), count);
    EXPECT_EQ(parts->train.size(), 200 - count);
    const std::vector<int> taken = per_class(parts->validation);
    EXPECT_THAT(taken, Each(AllOf(Ge(count / 10), Le((count + 9) / 10))));
    std::vector<int> train = origin(parts->train);
    const std::vector<int> validation = origin(parts->validation);
    EXPECT_TRUE(std::is_sorted(train.begin(), train.end()));
    EXPECT_TRUE(std::is_sorted(validation.begin(), validation.end()));
    train.insert(train.end(), validation.begin(), validation.end());
    std::sort(train.begin(), train.end());
    EXPECT_EQ(train, origin(all));
    EXPECT_EQ(parts->train.classes, 10);
    EXPECT_EQ(parts->validation.class_names, all.class_names);
  }
}

TEST(Split, IsDecidedByTheSeed) {
  const auto validation = [](std::uint64_t seed) {
    return origin(split(uneven(), 40, seed)->validation);
  };
  EXPECT_EQ(validation(1), validation(1));
  EXPECT_NE(validation(1), validation(2));
}

TEST(Split, IsIndependentOfASubsetWithTheSameSeed) {
  EXPECT_NE(origin(split(uneven(), 40, 1)->validation),
            origin(*subset(uneven(), {.classes = {}, .limit = 40, .seed = 1})));
}

TEST(Split, LeavesEveryClassOneForTraining) {
  const Result<Split> parts = split(uneven(), 149, 0);
  ASSERT_TRUE(parts.ok());
  EXPECT_THAT(per_class(parts->train), ElementsAre(1, 1, 1, 1));
}

TEST(Split, LeavesSmallClassesHalfWhereItCan) {
  std::vector<int> labels(580, 0);
  labels.insert(labels.end(), 20, 1);
  labels.insert(labels.end(), 3, 2);
  labels.push_back(3);
  const Dataset all = labelled(labels, 4);
  for (const std::int64_t count : {40, 200, 301}) {
    const Result<Split> parts = split(all, count, 3);
    ASSERT_TRUE(parts.ok()) << parts.error().message();
    EXPECT_EQ(parts->validation.size(), count);
    const auto left = static_cast<int>(604 - count);
    EXPECT_THAT(per_class(parts->train), ElementsAre(left - 10 - 2 - 1, 10, 2, 1));
  }
  // More cannot be had so.
  EXPECT_THAT(per_class(split(all, 302, 3)->train), ElementsAre(299, 1, 1, 1));
}

// Versions before chose other records there, and nowhere else.
TEST(Split, SaysInTheIdentityWhereHalfOfAClassWasTheMost) {
  std::vector<int> labels(30, 0);
  labels.insert(labels.end(), 10, 1);
  const Dataset all = labelled(labels, 2);
  for (const std::int64_t count : {1, 10, 12, 20, 21, 38}) {
    const Split parts = *split(all, count, 6);
    const bool halved = count > 10 && count <= 20;
    for (const Dataset& part : {parts.train, parts.validation}) {
      const Json step = identity_json(part)["selections"][0];
      EXPECT_EQ(step.contains("most_of_class"), halved) << count;
      if (halved) {
        EXPECT_EQ(step["most_of_class"], "half");
      }
    }
  }
}

// What a subset takes last: nothing of a subset that leaves as many of each class.
TEST(SplitLast, IsWhatASubsetLeaves) {
  const Dataset all = uneven();
  for (const Take take : {Take::kBalanced, Take::kFirst}) {
    for (const std::int64_t count : {1, 7, 30}) {
      const Result<Split> parts = split_last(all, count, take, 9);
      ASSERT_TRUE(parts.ok()) << parts.error().message();
      EXPECT_EQ(parts->validation.size(), count);
      EXPECT_EQ(parts->train.size(), all.size() - count);
      const Json step = identity_json(parts->train)["selections"][0];
      EXPECT_EQ(step["last_of"], take == Take::kFirst ? "first" : "balanced");
      EXPECT_EQ(step["part"], "train");
      std::set<int> aside;
      for (const int record : origin(parts->validation)) aside.insert(record);
      // As many of each class as split() sets aside; of the smallest class one, two being left.
      std::vector<int> labels = split(all, count, 9)->validation.labels;
      EXPECT_TRUE(std::is_permutation(labels.begin(), labels.end(),
                                      parts->validation.labels.begin(),
                                      parts->validation.labels.end()));
      const std::int64_t limit = take == Take::kBalanced ? 8 : 4;
      for (const int record : origin(*subset(all, {.limit = limit, .take = take, .seed = 9}))) {
        EXPECT_EQ(aside.count(record), 0U) << count;
      }
    }
  }
}

TEST(Split, OfOneRecordAClassNoneCanBeSpared) {
  const Result<Split> parts = split(labelled({0, 1}, 2), 1, 0);
  ASSERT_FALSE(parts.ok());
  EXPECT_EQ(parts.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(parts.error().message(), HasSubstr("no class has two records"));
}

TEST(Split, RefusesCountsItCannotServe) {
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-5}, std::int64_t{150}}) {
    const Result<Split> parts = split(uneven(), count, 0);
    ASSERT_FALSE(parts.ok()) << count;
    EXPECT_EQ(parts.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(parts.error().message(), HasSubstr("choose 1 to 149"));
  }
}

TEST(Split, LeavesItsTraceInTheIdentity) {
  const Split parts = *split(labelled(std::vector<int>(60, 0), 1), 25, 6);
  const Json train = identity_json(parts.train)["selections"];
  const Json expected = {{{"step", "split"}, {"part", "train"}, {"validation", 25}, {"seed", 6}}};
  EXPECT_EQ(train, expected);
  EXPECT_EQ(identity_json(parts.validation)["selections"][0]["part"], "validation");
  EXPECT_NE(identity_json(parts.train), identity_json(parts.validation));
}

TEST(Fold, PartsAreDisjointBalancedAndTogetherEverything) {
  const Dataset all = uneven();
  for (const int count : {2, 3, 4, 7, 50, 153}) {
    std::vector<int> set_aside;
    for (int k = 0; k < count; ++k) {
      const Result<Split> parts = fold(all, k, count, 3);
      ASSERT_TRUE(parts.ok()) << parts.error().message();
      EXPECT_THAT(parts->validation.size(), AllOf(Ge(153 / count), Le((153 + count - 1) / count)));
      const std::vector<int> whole = per_class(all);
      const std::vector<int> part = per_class(parts->validation);
      for (std::size_t c = 0; c < whole.size(); ++c) {
        EXPECT_THAT(part[c], AllOf(Ge(whole[c] / count), Le((whole[c] + count - 1) / count)));
      }
      std::vector<int> records = origin(parts->train);
      const std::vector<int> validation = origin(parts->validation);
      EXPECT_TRUE(std::is_sorted(records.begin(), records.end()));
      set_aside.insert(set_aside.end(), validation.begin(), validation.end());
      records.insert(records.end(), validation.begin(), validation.end());
      std::sort(records.begin(), records.end());
      EXPECT_EQ(records, origin(all));
    }
    std::sort(set_aside.begin(), set_aside.end());
    EXPECT_EQ(set_aside, origin(all));
  }
}

TEST(Fold, IsDecidedByTheSeed) {
  const auto validation = [](std::uint64_t seed) {
    return origin(fold(uneven(), 1, 4, seed)->validation);
  };
  EXPECT_EQ(validation(1), validation(1));
  EXPECT_NE(validation(1), validation(2));
  EXPECT_NE(validation(1), origin(split(uneven(), 38, 1)->validation));
}

TEST(Fold, RefusesWhatItCannotServe) {
  for (const auto& [index, count] : {std::pair{0, 1}, {-1, 2}, {2, 2}, {0, 154}, {0, 0}}) {
    const Result<Split> parts = fold(uneven(), index, count, 0);
    ASSERT_FALSE(parts.ok()) << index << " of " << count;
    EXPECT_EQ(parts.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(parts.error().message(), HasSubstr("choose 2 to 153 folds"));
  }
  const Result<Split> single = fold(labelled({0, 0, 1, 2, 2}, 3), 0, 2, 0);
  ASSERT_FALSE(single.ok());
  EXPECT_THAT(single.error().message(), HasSubstr("class 1 has a single record"));
}

TEST(Fold, LeavesItsTraceInTheIdentity) {
  const Split parts = *fold(uneven(), 2, 4, 6);
  const Json expected = {
      {{"step", "fold"}, {"part", "train"}, {"fold", 2}, {"folds", 4}, {"seed", 6}}};
  EXPECT_EQ(identity_json(parts.train)["selections"], expected);
  EXPECT_EQ(identity_json(parts.validation)["selections"][0]["part"], "validation");
}

TEST(Fold, WhatASplitSetAsideMayTrain) {
  const Split outer = *split(uneven(), 4, 3);
  const Split with = *fold(outer.train, 2, 4, 6, outer.validation);
  const Split without = *fold(outer.train, 2, 4, 6);
  std::vector<int> records = origin(without.train);
  const std::vector<int> joined = origin(outer.validation);
  records.insert(records.end(), joined.begin(), joined.end());
  EXPECT_EQ(origin(with.train), records);
  std::vector<int> labels = without.train.labels;
  labels.insert(labels.end(), outer.validation.labels.begin(), outer.validation.labels.end());
  EXPECT_EQ(with.train.labels, labels);
  EXPECT_EQ(identity_json(with.validation), identity_json(without.validation));
  EXPECT_EQ(origin(with.validation), origin(without.validation));
  EXPECT_EQ(identity_json(with.train)["selections"][1]["joined"], 4);
  EXPECT_FALSE(identity_json(without.train)["selections"][1].contains("joined"));
}

}  // namespace
}  // namespace espalier::data
