#include "espalier/train/result_sanity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace espalier::train {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<std::string> kNames{"ant", "bee", "cat"};

// An evaluation with counts[label][prediction].
Evaluation result(const std::vector<std::vector<int>>& counts, double loss) {
  Evaluation evaluation{loss, 0, Confusion(static_cast<int>(counts.size()))};
  double correct = 0;
  double all = 0;
  for (std::size_t label = 0; label < counts.size(); ++label) {
    for (std::size_t taken = 0; taken < counts.size(); ++taken) {
      for (int i = 0; i < counts[label][taken]; ++i) {
        evaluation.confusion.add(static_cast<int>(label), static_cast<int>(taken));
      }
      all += counts[label][taken];
      if (label == taken) correct += counts[label][taken];
    }
  }
  evaluation.accuracy = correct / all;
  return evaluation;
}

TEST(Confusion, CountsByLabelAndPrediction) {
  const Confusion c = result({{8, 2, 0}, {5, 5, 0}, {0, 0, 0}}, 1).confusion;
  EXPECT_EQ(c.samples(), 20);
  EXPECT_EQ(c.labelled(0), 10);
  EXPECT_EQ(c.predicted(0), 13);
  EXPECT_EQ(c.count(1, 0), 5);
  EXPECT_DOUBLE_EQ(*c.accuracy(0), 0.8);
  EXPECT_DOUBLE_EQ(*c.accuracy(1), 0.5);
  EXPECT_FALSE(c.accuracy(2).has_value());
  EXPECT_DOUBLE_EQ(c.balanced_accuracy(), 0.65);
  EXPECT_DOUBLE_EQ(c.guessing_loss(), std::log(2.0));
}

TEST(Confusion, ListsClassesByName) {
  const Confusion c = result({{8, 2, 0}, {5, 5, 0}, {0, 0, 0}}, 1).confusion;
  const Json list = per_class_json(c, kNames);
  EXPECT_EQ(list[0],
            Json({{"name", "ant"}, {"samples", 10}, {"predicted", 13}, {"accuracy", 0.8}}));
  EXPECT_TRUE(list[2]["accuracy"].is_null());
  EXPECT_THAT(per_class_table(c, kNames), AllOf(HasSubstr("80.00 %"), HasSubstr("cat")));
}

TEST(Confusion, OfManyClassesShowsTheWorst) {
  std::vector<std::vector<int>> counts(30, std::vector<int>(30, 0));
  std::vector<std::string> names;
  for (std::size_t c = 0; c < 30; ++c) {
    counts[c][c] = c == 17 ? 1 : 10;
    counts[c][0] += c == 17 ? 9 : 0;
    names.push_back("class" + std::to_string(c) + ".");
  }
  const std::string table = per_class_table(result(counts, 1).confusion, names);
  EXPECT_THAT(table, HasSubstr("class17."));
  EXPECT_THAT(table, ::testing::Not(HasSubstr("class29.")));
}

TEST(ResultDoubts, NoneAboutASoundResult) {
  EXPECT_THAT(doubts(result({{80, 10, 10}, {10, 80, 10}, {10, 10, 80}}, 0.6), kNames), IsEmpty());
  // Rare classes that are recognised.
  EXPECT_THAT(doubts(result({{290, 10}, {1, 5}}, 0.05), kNames), IsEmpty());
}

TEST(ResultDoubts, OneClassForEverything) {
  EXPECT_THAT(doubts(result({{0, 50, 0}, {0, 50, 0}, {0, 50, 0}}, 1.0), kNames),
              ElementsAre(HasSubstr("every sample is taken for 'bee'")));
}

TEST(ResultDoubts, Chance) {
  EXPECT_THAT(doubts(result({{17, 17, 16}, {17, 16, 17}, {16, 17, 17}}, 1.2), kNames),
              ElementsAre(HasSubstr("no better than always saying"),
                          HasSubstr("loss of 1.2000 is no better than that of guessing (1.0986)")));
  // What is better by less than tells is not said to be no better.
  EXPECT_THAT(doubts(result({{20, 15, 15}, {15, 20, 15}, {15, 15, 20}}, 1.0), kNames),
              ElementsAre(HasSubstr("accuracy of 40.00 % is no better than always saying 'ant' "
                                    "(33.33 %) by two standard errors of 150 samples; ")));
  // Worse than chance is no better.
  EXPECT_THAT(doubts(result({{0, 50, 0}, {0, 0, 50}, {50, 0, 0}}, 1.0), kNames),
              ElementsAre(HasSubstr("0.00 % is no better")));
}

TEST(ResultDoubts, LossAtChanceThoughMuchIsRight) {
  EXPECT_THAT(
      doubts(result({{80, 10, 10}, {10, 80, 10}, {10, 10, 80}}, 1.5), kNames),
      ElementsAre(AllOf(HasSubstr("no better than that of guessing"), HasSubstr("lower --lr"))));
}

TEST(ResultDoubts, AMajoritysShare) {
  // 300 of one class and 6 of the other: 98.04 % without having learned anything.
  const auto all_common = doubts(result({{300, 0}, {6, 0}}, 0.05), kNames);
  EXPECT_THAT(all_common, ElementsAre(HasSubstr("every sample is taken for 'ant'"),
                                      AllOf(HasSubstr("98.04 % is mostly the share of 'ant'"),
                                            HasSubstr("over classes it is 50.00 %"))));
  EXPECT_THAT(doubts(result({{300, 0}, {4, 2}}, 0.01), kNames),
              ::testing::Contains(HasSubstr("mostly the share of 'ant'")));
}

TEST(ResultDoubts, OneClassInTheDataIsSaidThere) {
  EXPECT_THAT(doubts(result({{50, 0}, {0, 0}}, 0.0), kNames), IsEmpty());
  EXPECT_THAT(doubts(result({{50}}, 0.0), kNames), IsEmpty());
}

TEST(LearnedNothing, IsOneClassForSamplesOfSeveral) {
  EXPECT_TRUE(learned_nothing(result({{10, 0, 0}, {10, 0, 0}, {10, 0, 0}}, 1)));
  EXPECT_FALSE(learned_nothing(result({{10, 0, 0}, {9, 1, 0}, {10, 0, 0}}, 1)));
  EXPECT_FALSE(learned_nothing(result({{10, 0, 0}, {0, 0, 0}, {0, 0, 0}}, 1)));
  // One sample of two thousand does not make a classifier; where one class is rare, few do.
  EXPECT_TRUE(learned_nothing(result({{1000, 0}, {999, 1}}, 1)));
  EXPECT_FALSE(learned_nothing(result({{1990, 0}, {2, 8}}, 0.01)));
}

// A network that ran away may still scatter samples over some classes.
TEST(LearnedNothing, IsChanceWithTheLossOfGuessing) {
  EXPECT_TRUE(learned_nothing(result({{30, 70, 0}, {36, 64, 0}, {33, 66, 1}}, 1.097)));
  EXPECT_FALSE(learned_nothing(result({{30, 70, 0}, {36, 64, 0}, {33, 66, 1}}, 1.07)));
  EXPECT_FALSE(learned_nothing(result({{60, 20, 20}, {20, 60, 20}, {20, 20, 60}}, 3)));
}

TEST(ResultSanity, CollapsedIsWhatTheHeadAloneIsNot) {
  const Evaluation one_class = result({{10, 0, 0}, {10, 0, 0}, {10, 0, 0}}, 3);
  const Evaluation sound = result({{8, 1, 1}, {2, 7, 1}, {0, 3, 7}}, 1);
  EXPECT_TRUE(collapsed(one_class, sound));
  EXPECT_FALSE(collapsed(one_class, one_class));
  EXPECT_FALSE(collapsed(sound, one_class));
}

}  // namespace
}  // namespace espalier::train
