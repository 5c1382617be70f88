#include "espalier/data/classes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "data/data_files.hpp"

namespace espalier::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::labelled;

Dataset named(const ClassNames& names, const std::vector<int>& labels) {
  Dataset dataset = labelled(labels, static_cast<int>(names.size()));
  dataset.class_names = names;
  dataset.spec = "folder:pets";
  return dataset;
}

TEST(ClassNames, NumbersAreNoNames) {
  EXPECT_TRUE(numbered({"0", "1", "25"}));
  EXPECT_FALSE(numbered({"0", "one"}));
  EXPECT_FALSE(numbered({"0", "-1"}));
  EXPECT_FALSE(numbered({"0", ""}));
}

TEST(ClassNames, MayBeTheNumbersOfOthers) {
  EXPECT_THAT(*numbers_below({"3", "7"}, 8), ElementsAre(3, 7));
  EXPECT_THAT(*numbers_below({"0", "1", "10", "2"}, 12), ElementsAre(0, 1, 10, 2));
  EXPECT_THAT(*numbers_below({"03", "1"}, 4), ElementsAre(3, 1));
  EXPECT_FALSE(numbers_below({"3", "7"}, 7));
  EXPECT_FALSE(numbers_below({"3", "03"}, 7));
  EXPECT_FALSE(numbers_below({"3", "cat"}, 7));
  EXPECT_FALSE(numbers_below({"-1", "3"}, 7));
}

TEST(ClassNames, ThatAreAllNumbersHaveTheirOrder) {
  EXPECT_THAT(in_number_order({"0", "1", "2", "3"}), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(in_number_order({"03", "1", "0", "2"}), ElementsAre("0", "1", "2", "03"));
  EXPECT_THAT(in_number_order({"3", "1", "2"}), ElementsAre("3", "1", "2"));
  EXPECT_THAT(in_number_order({"1", "0", "cat"}), ElementsAre("1", "0", "cat"));
  EXPECT_TRUE(in_number_order({}).empty());
}

TEST(ClassNames, ListsAreShortened) {
  EXPECT_EQ(class_list({"ant"}), "1 class: ant");
  EXPECT_EQ(class_list({"ant", "cat"}), "2 classes: ant, cat");
  const std::string text = class_list(ClassNames(1000, "x"));
  EXPECT_THAT(text, HasSubstr("1000 classes: x, "));
  EXPECT_LT(text.size(), 100U);
}

// Whatever the order of the names in two sets, a record keeps the name of its class.
TEST(MatchClasses, EveryOrderKeepsTheNames) {
  ClassNames wanted{"ant", "bee", "cat", "dog"};
  const Dataset found = named({"ant", "bee", "cat", "dog"}, {0, 1, 2, 3, 3});
  do {
    const auto match = match_classes(wanted, "a", found.class_names, "b");
    ASSERT_TRUE(match.ok()) << match.error().message();
    EXPECT_FALSE(match->by_position);
    const Dataset ordered = order_classes(found, wanted, *match);
    EXPECT_EQ(ordered.class_names, wanted);
    for (std::size_t i = 0; i < found.labels.size(); ++i) {
      EXPECT_EQ(ordered.class_names[static_cast<std::size_t>(ordered.labels[i])],
                found.class_names[static_cast<std::size_t>(found.labels[i])]);
    }
  } while (std::next_permutation(wanted.begin(), wanted.end()));
}

TEST(MatchClasses, RefusesOtherClassesAndShowsBothLists) {
  const std::vector<std::pair<ClassNames, ClassNames>> pairs{
      {{"ant", "cat", "dog"}, {"cat", "dog", "horse"}},
      {{"ant", "cat", "dog"}, {"ant", "cat"}},
      {{"ant", "cat"}, {"ant", "cat", "dog"}},
      {{"0", "1"}, {"2", "3"}},
      {{"0", "1", "2"}, {"0", "1"}},
      {{"0", "1"}, {"ant", "cat", "dog"}}};
  for (const auto& [wanted, found] : pairs) {
    const auto match = match_classes(wanted, "plan.json", found, "folder:pets");
    ASSERT_FALSE(match.ok());
    EXPECT_EQ(match.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(match.error().message(), HasSubstr("plan.json has " + class_list(wanted)));
    EXPECT_THAT(match.error().message(), HasSubstr("folder:pets has " + class_list(found)));
  }
}

TEST(MatchClasses, NumbersMatchNamesByPosition) {
  const auto match = match_classes({"ant", "cat"}, "a", {"0", "1"}, "b");
  ASSERT_TRUE(match.ok());
  EXPECT_TRUE(match->by_position);
  EXPECT_THAT(match->order, ElementsAre(0, 1));
  const Dataset from_numbers = order_classes(named({"0", "1"}, {1, 0}), {"ant", "cat"}, *match);
  EXPECT_THAT(from_numbers.class_names, ElementsAre("ant", "cat"));
  const Dataset from_names = order_classes(named({"ant", "cat"}, {1, 0}), {"0", "1"}, *match);
  EXPECT_THAT(from_names.class_names, ElementsAre("ant", "cat"));
  EXPECT_THAT(from_names.labels, ElementsAre(1, 0));
}

TEST(FindClasses, NamesMayHoldAnything) {
  const Dataset pets = named({"2-4", "a,b", "cat", "dog"}, {0, 1, 2, 3});
  EXPECT_THAT(*find_classes({"dog", "a,b", "2-4"}, pets), ElementsAre(3, 1, 0));
  EXPECT_THAT(*find_classes({"2", "0"}, pets), ElementsAre(2, 0));
  EXPECT_THAT(*find_classes({"7", "3"}, named({"3", "7"}, {0, 1})), ElementsAre(1, 0));
  for (const ClassNames& wanted : {ClassNames{"cat", "a"}, {"cat", "0-1"}, {"cat", "0"}, {""}}) {
    const auto found = find_classes(wanted, pets);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(found.error().message(), HasSubstr("folder:pets: has no class '" + wanted.back() +
                                                   "', but 4 classes: 2-4, a,b, cat, dog"));
  }
}

TEST(CheckLabels, RefusesManyClassesOfWhichMostAreMissing) {
  const auto of = [](const std::vector<int>& labels, int classes) {
    return check_labels(named(class_numbers(classes), labels));
  };
  const Status sparse = of({0, 8000, 0}, 8001);
  ASSERT_FALSE(sparse.ok());
  EXPECT_EQ(sparse.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(sparse.error().message(),
            "folder:pets: labels go up to 8000, of which 2 occur; number them 0 to 1, or choose "
            "them with --classes");
  EXPECT_FALSE(of({0, 1024}, 1025).ok());
  // Some pictures for a published classifier of 1,000 classes, or of one more.
  EXPECT_TRUE(of({5, 999}, 1000).ok());
  EXPECT_TRUE(of({5, 1000}, 1001).ok());
  std::vector<int> half(600);
  std::iota(half.begin(), half.end(), 600);
  EXPECT_TRUE(of(half, 1200).ok());
  half.pop_back();
  EXPECT_FALSE(of(half, 1200).ok());
}

TEST(ParseClasses, TakesNamesNumbersAndRanges) {
  const Dataset pets = named({"ant", "t-shirt", "cat", "dog"}, {0, 1, 2, 3});
  EXPECT_THAT(*parse_classes("cat,ant", pets), ElementsAre(2, 0));
  EXPECT_THAT(*parse_classes("3,0", pets), ElementsAre(3, 0));
  EXPECT_THAT(*parse_classes("1-3", pets), ElementsAre(1, 2, 3));
  EXPECT_THAT(*parse_classes("t-shirt,2-3", pets), ElementsAre(1, 2, 3));
  // A folder called 10 is the class 10, whatever its place among the folders.
  EXPECT_THAT(*parse_classes("10,2", named({"1", "10", "2"}, {0, 1, 2})), ElementsAre(1, 2));
}

// Folders are in byte order of their names.
TEST(ParseClasses, RangesOfNamesThatAreNumbers) {
  const Dataset from_one = named({"1", "2", "3", "4", "5", "6"}, {0, 1, 2, 3, 4, 5});
  EXPECT_EQ(*parse_classes("2-4", from_one), *parse_classes("2,3,4", from_one));
  EXPECT_THAT(*parse_classes("2-4", from_one), ElementsAre(1, 2, 3));
  EXPECT_THAT(*parse_classes("6-6,1-2", from_one), ElementsAre(5, 0, 1));
  const Dataset twelve =
      named({"0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"}, {0, 1, 2});
  EXPECT_THAT(*parse_classes("0-4", twelve), ElementsAre(0, 1, 4, 5, 6));
  EXPECT_THAT(*parse_classes("8-11", twelve), ElementsAre(10, 11, 2, 3));
  EXPECT_THAT(*parse_classes("08-10", named({"10", "09", "08"}, {0})), ElementsAre(2, 1, 0));
  const Dataset padded = named({"01", "02", "03", "10"}, {0, 1, 2, 3});
  EXPECT_THAT(*parse_classes("1,10", padded), ElementsAre(0, 3));
  EXPECT_THAT(*parse_classes("1-3", padded), ElementsAre(0, 1, 2));
  // An end that is no name, or names that are words: places among the classes.
  EXPECT_THAT(*parse_classes("0-2", from_one), ElementsAre(0, 1, 2));
  EXPECT_THAT(*parse_classes("1-2", named({"1", "2", "cat"}, {0, 1, 2})), ElementsAre(1, 2));
  const auto gap = parse_classes("3-9", named({"3", "7", "9"}, {0, 1, 2}));
  ASSERT_FALSE(gap.ok());
  EXPECT_EQ(gap.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(gap.error().message(), HasSubstr("'3-9' is neither a class nor a number of one"));
}

TEST(ParseClasses, RefusesWhatIsNeither) {
  const Dataset pets = named({"ant", "cat"}, {0, 1});
  for (const char* text : {"", "cow", "ant,", ",ant", "0,,1", "3-1", "-1", "1-", "ant-cat", "1.5",
                           "0-999999999", "99999999999"}) {
    const auto classes = parse_classes(text, pets);
    ASSERT_FALSE(classes.ok()) << text;
    EXPECT_EQ(classes.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(classes.error().message(), HasSubstr("2 classes: ant, cat"));
  }
}

}  // namespace
}  // namespace espalier::data
