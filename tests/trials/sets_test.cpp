#include "espalier/trials/sets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "data/data_files.hpp"
#include "support/temp_folder.hpp"
#include "testing/random_graph.hpp"

namespace espalier::trials {
namespace {

using ::testing::HasSubstr;

// Pictures that tell their number by their first two pixels.
class RaceSetsTest : public ::testing::Test {
 protected:
  // The first `rare` are of one class and the others of another, or all in turn of four.
  std::string dataset(int count, const std::string& name = "a", int rare = 0) {
    std::string images;
    std::string labels;
    for (int i = 0; i < count; ++i) {
      std::string pixels(64, '\0');
      pixels[0] = static_cast<char>(i % 256);
      pixels[1] = static_cast<char>(i / 256);
      images += pixels;
      labels += static_cast<char>(rare == 0 ? i % 4 : static_cast<int>(i < rare));
    }
    const auto n = static_cast<std::uint32_t>(count);
    return "idx:" + folder_.write(name + "-images", testing::idx_file({n, 8, 8}, images)) + "," +
           folder_.write(name + "-labels", testing::idx_file({n}, labels));
  }

  static std::set<int> numbers(const data::Samples& samples) {
    std::set<int> all;
    for (const data::Image& image : samples.dataset().images) {
      all.insert(image.pixels[0] + 256 * image.pixels[1]);
    }
    EXPECT_EQ(static_cast<std::int64_t>(all.size()), samples.size());
    return all;
  }

  testing::TempFolder folder_;
  ir::Graph graph_ = [] {
    ir::Graph graph = testing::small_network(1);
    graph.tensors[static_cast<std::size_t>(graph.input)].quantization = {1.0F / 128, 0};
    return graph;
  }();
  SetOptions options_ = *set_options("identity", "", true, 5);
};

TEST_F(RaceSetsTest, AreDisjointAndValidateAsAnAnalysisDoes) {
  const std::string spec = dataset(300);
  for (const SourceOptions& sources :
       {SourceOptions{.training = spec}, SourceOptions{spec, "", 40, 30},
        SourceOptions{spec, "", 0, 90}, SourceOptions{spec, "", 260, 20}}) {
    const Result<RaceSets> race = load_race_sets(graph_, sources, options_);
    ASSERT_TRUE(race.ok()) << race.error().message();
    const Result<SampleSets> analysis = load_sets(graph_, sources, options_);
    ASSERT_TRUE(analysis.ok());
    EXPECT_EQ(race->validation.identity(), analysis->validation.identity());
    std::set<int> all = numbers(race->training);
    all.merge(numbers(race->validation));
    ASSERT_EQ(race->race.size(), 1U);
    const data::Samples& judges = race->race[0].judges;
    all.merge(numbers(judges));
    EXPECT_EQ(static_cast<std::int64_t>(all.size()),
              race->training.size() + race->validation.size() + judges.size());
    EXPECT_GE(judges.size(), 1);
    EXPECT_LE(judges.size(), race->validation.size());
    EXPECT_EQ(&race->race_training(7), &race->training);
    if (sources.limit_training.value_or(0) > 0) {
      EXPECT_EQ(race->training.size(), *sources.limit_training);
    }
  }
}

// An analysis of the same data has not trained on what judges the race, where there are enough.
TEST_F(RaceSetsTest, AreJudgedByWhatAnAnalysisDidNotTrainOn) {
  const std::string spec = dataset(300, "a", 150);
  for (const bool balanced : {true, false}) {
    const SetOptions options = *set_options("identity", "", balanced, 5);
    for (const std::int64_t trained : {20, 100, 150, 190, 240}) {
      const SourceOptions analysis{spec, "", trained, 60};
      const Result<SampleSets> sets = load_sets(graph_, analysis, options);
      const Result<RaceSets> race = load_race_sets(graph_, {spec, "", 180, 60}, options);
      ASSERT_TRUE(sets.ok());
      ASSERT_TRUE(race.ok()) << race.error().message();
      EXPECT_EQ(race->available, 240);
      EXPECT_EQ(race->race[0].judges.size(), 60);
      std::set<int> seen;
      const std::set<int> judges = numbers(race->race[0].judges);
      for (const int number : numbers(sets->training)) {
        if (judges.count(number) > 0) seen.insert(number);
      }
      const auto count = static_cast<std::int64_t>(seen.size());
      EXPECT_LE(race->judges_among(trained), count);
      // Of the 120 that each class has, 30 judge.
      if (balanced) {
        EXPECT_EQ(count, std::max<std::int64_t>(0, trained - 180)) << trained;
        EXPECT_EQ(count, race->judges_among(trained)) << trained;
      }
    }
  }
}

// Measurements of other sizes set the same samples aside where they agree on what is kept.
TEST_F(RaceSetsTest, ValidateAsAMeasurementOfMoreSamplesDoes) {
  const std::string spec = dataset(300);
  SourceOptions few{spec, "", 100, std::nullopt};
  SourceOptions many{spec, "", 250, std::nullopt};
  EXPECT_EQ(load_sets(graph_, few, options_)->validation.size(), 100);
  few.keep = many.keep = 250;
  const Result<SampleSets> analysis = load_sets(graph_, few, options_);
  const Result<RaceSets> race = load_race_sets(graph_, many, options_, 5);
  ASSERT_TRUE(analysis.ok());
  ASSERT_TRUE(race.ok()) << race.error().message();
  EXPECT_EQ(analysis->training.size(), 100);
  EXPECT_EQ(analysis->validation.size(), 50);
  EXPECT_EQ(race->validation.identity(), analysis->validation.identity());
}

TEST_F(RaceSetsTest, ValidationMayComeFromElsewhere) {
  const SourceOptions sources{dataset(80), dataset(60, "b"), std::nullopt, 20};
  const Result<RaceSets> race = load_race_sets(graph_, sources, options_);
  ASSERT_TRUE(race.ok()) << race.error().message();
  EXPECT_EQ(race->validation.size(), 20);
  EXPECT_EQ(race->race[0].judges.size(), 20);
  EXPECT_EQ(race->training.size(), 60);
}

TEST_F(RaceSetsTest, WhatValidatesFromElsewhereTrainsInNoFold) {
  const SourceOptions sources{dataset(80), dataset(60, "b"), 0, 20};
  const Result<RaceSets> race = load_race_sets(graph_, sources, options_, 4);
  ASSERT_TRUE(race.ok()) << race.error().message();
  for (const RaceFold& fold : race->race) {
    EXPECT_EQ(fold.training->size(), 60);
    EXPECT_EQ(fold.judges.size(), 20);
  }
}

TEST_F(RaceSetsTest, FoldsJudgeByEverySampleOnce) {
  const std::string spec = dataset(300);
  for (const SourceOptions& sources :
       {SourceOptions{spec, "", 0, 90}, SourceOptions{spec, "", 40, 90},
        SourceOptions{spec, "", std::nullopt, 30}, SourceOptions{spec, "", 157, 90}}) {
    for (const int folds : {2, 4, 7}) {
      const std::int64_t joined = *sources.limit_validation;
      const std::int64_t left = 300 - joined;
      const Result<RaceSets> sets = load_race_sets(graph_, sources, options_, folds);
      if (left - (left + folds - 1) / folds + joined < sources.limit_training.value_or(0)) {
        ASSERT_FALSE(sets.ok());
        EXPECT_THAT(sets.error().message(), HasSubstr("more folds, or a smaller --limit-train"));
        continue;
      }
      ASSERT_TRUE(sets.ok()) << sets.error().message();
      const std::set<int> validation = numbers(sets->validation);
      ASSERT_EQ(sets->race.size(), static_cast<std::size_t>(folds));
      std::set<int> judges;
      std::set<std::string> identities;
      std::int64_t judging = 0;
      for (const RaceFold& fold : sets->race) {
        ASSERT_TRUE(fold.training);
        std::set<int> apart = numbers(*fold.training);
        apart.merge(numbers(fold.judges));
        EXPECT_EQ(static_cast<std::int64_t>(apart.size()),
                  fold.training->size() + fold.judges.size());
        for (const int judge : numbers(fold.judges)) EXPECT_EQ(validation.count(judge), 0U);
        EXPECT_LE(fold.judges.size(), sets->validation.size());
        EXPECT_GE(fold.judges.size(), std::min(left / folds, sets->validation.size()));
        if (sources.limit_training.value_or(0) > 0) {
          EXPECT_EQ(fold.training->size(), *sources.limit_training);
        } else {
          EXPECT_GE(fold.training->size(), left - left / folds - 1 + joined);
        }
        judging += fold.judges.size();
        judges.merge(numbers(fold.judges));
        identities.insert(fold.training->identity());
        identities.insert(fold.judges.identity());
      }
      EXPECT_EQ(static_cast<std::int64_t>(judges.size()), judging);
      EXPECT_EQ(identities.size(), 2 * sets->race.size());
      EXPECT_EQ(sets->training.size(),
                sources.limit_training.value_or(0) > 0 ? *sources.limit_training : left);
      EXPECT_EQ(&sets->race_training(static_cast<std::uint64_t>(folds) + 1),
                &*sets->race[1].training);
    }
  }
}

TEST_F(RaceSetsTest, LeaveRareClassesHalf) {
  const auto rare = [](const data::Samples& samples) {
    const std::vector<int>& labels = samples.dataset().labels;
    return std::count(labels.begin(), labels.end(), 1);
  };
  const SourceOptions sources{dataset(200, "a", 16), "", std::nullopt, 60};
  const Result<SampleSets> sets = load_sets(graph_, sources, options_);
  ASSERT_TRUE(sets.ok()) << sets.error().message();
  EXPECT_EQ(rare(sets->training), 8);
  EXPECT_EQ(sets->validation.size(), 60);
  EXPECT_EQ(rare(sets->validation), 8);
  const Result<RaceSets> race = load_race_sets(graph_, sources, options_);
  ASSERT_TRUE(race.ok()) << race.error().message();
  EXPECT_EQ(rare(race->validation), 8);
  EXPECT_EQ(race->race[0].judges.size(), 35);
  EXPECT_EQ(rare(race->race[0].judges), 4);
  EXPECT_EQ(rare(race->training), 4);
}

// Rows of pixels as steps of a series: nothing is resized.
TEST_F(RaceSetsTest, BytesOfASeriesGoInAsTheyAre) {
  ir::Graph series = graph_;
  series.tensors[static_cast<std::size_t>(series.input)].shape = {1, 8, 8};
  const Result<data::Samples> samples =
      bind_samples(series, *open_selected(dataset(20), 0, options_), options_.preprocess);
  ASSERT_TRUE(samples.ok()) << samples.error().message();
  std::vector<std::int8_t> input(64);
  ASSERT_TRUE(samples->input(7, input).ok());
  std::vector<std::int8_t> expected(64, -128);
  expected[0] = 7 - 128;
  EXPECT_EQ(input, expected);
}

TEST(WithClasses, CountedDataMayLackTheLastOnes) {
  const auto counted = [](int classes) {
    data::Dataset dataset = testing::labelled({0, 1, 1}, classes);
    dataset.class_names = data::class_numbers(classes);
    return dataset;
  };
  const data::ClassNames ten = data::class_numbers(10);
  const auto extended = with_classes(counted(2), ten, "the plan");
  ASSERT_TRUE(extended.ok()) << extended.error().message();
  EXPECT_EQ(extended->classes, 10);
  EXPECT_EQ(extended->class_names, ten);
  EXPECT_EQ(extended->labels, counted(2).labels);
  // Neither more of them, nor numbers that were chosen, nor names.
  EXPECT_FALSE(with_classes(counted(3), data::class_numbers(2), "the plan").ok());
  EXPECT_FALSE(with_classes(counted(2), {"0", "1", "7"}, "the plan").ok());
  EXPECT_FALSE(with_classes(counted(2), {"ant", "bee", "cat"}, "the plan").ok());
  data::Dataset chosen = counted(2);
  chosen.class_names = {"0", "2"};
  EXPECT_FALSE(with_classes(chosen, data::class_numbers(3), "the plan").ok());
}

// Folders 0, 1, 10, 2, ... of a model that has names: 10 is its last class, not its third.
TEST(WithClasses, NumbersStandForTheNamesInTheirOrder) {
  const data::ClassNames names{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
  data::Dataset folders = testing::labelled({0, 2, 3, 10}, 11);
  folders.class_names = {"0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"};
  const auto named = with_classes(folders, names, "the model");
  ASSERT_TRUE(named.ok()) << named.error().message();
  EXPECT_EQ(named->labels, (std::vector{0, 10, 2, 9}));
  EXPECT_EQ(named->class_names, names);
  // Those that were chosen have the order of the choice.
  folders.selections.push_back({.classes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}});
  EXPECT_EQ(with_classes(folders, names, "the model")->labels, folders.labels);
}

TEST_F(RaceSetsTest, SelectionsByNameMayLackTheLastOnes) {
  SetOptions options = options_;
  options.names = data::class_numbers(9);
  const Result<data::Dataset> opened = open_selected(dataset(60), 0, options);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ(opened->classes, 9);
  EXPECT_EQ(opened->size(), 60);
  EXPECT_EQ(opened->labels, open_selected(dataset(60), 0, options_)->labels);
}

TEST_F(RaceSetsTest, SayWhenNothingIsLeft) {
  const std::string spec = dataset(60);
  const Result<RaceSets> race = load_race_sets(graph_, {spec, spec, 60, 20}, options_);
  ASSERT_FALSE(race.ok());
  EXPECT_EQ(race.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(race.error().message(), HasSubstr("none is left for the final race"));
}

}  // namespace
}  // namespace espalier::trials
