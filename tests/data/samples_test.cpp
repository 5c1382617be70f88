#include "espalier/data/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/data_files.hpp"
#include "espalier/data/subset.hpp"
#include "support/temp_folder.hpp"

namespace espalier::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::labelled;

InputPipeline pipeline(const char* spec, int side) {
  return *make_pipeline(*parse_preprocess(spec), side, side, 1, 1.0F, -128);
}

TEST(Samples, GiveInputsAndLabels) {
  const Samples samples(labelled({2, 0, 1}, 3), pipeline("identity", 1));
  EXPECT_EQ(samples.size(), 3);
  EXPECT_EQ(samples.classes(), 3);
  EXPECT_EQ(samples.elements(), 1U);
  std::vector<int> labels;
  std::vector<int> inputs;
  for (std::int64_t i = 0; i < samples.size(); ++i) {
    std::int8_t value = 0;
    ASSERT_TRUE(samples.input(i, {&value, 1}).ok());
    labels.push_back(samples.label(i));
    inputs.push_back(value);
  }
  EXPECT_THAT(labels, ElementsAre(2, 0, 1));
  EXPECT_THAT(inputs, ElementsAre(-128, -127, -126));
}

TEST(Samples, ReportTheIndexOfASampleThatFails) {
  Dataset dataset = labelled({0, 0, 0}, 1);
  for (Image& image : dataset.images) image = testing::noise_image(4, 4, 1);
  dataset.images[1] = testing::noise_image(4, 3, 1);
  const Samples samples(std::move(dataset), pipeline("crop=4", 4));
  std::vector<std::int8_t> out(16);
  EXPECT_TRUE(samples.input(0, out).ok());
  const Status failed = samples.input(1, out);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(failed.error().message(), HasSubstr("cifar10:made.bin: sample 1: "));
  EXPECT_THAT(failed.error().message(), HasSubstr("4x3"));
  EXPECT_TRUE(samples.input(2, out).ok());
}

TEST(Samples, RefuseAnIndexOutOfRange) {
  const Samples samples(labelled({0}, 1), pipeline("identity", 1));
  std::int8_t value = 0;
  for (const std::int64_t i : {-1, 1}) {
    const Status status = samples.input(i, {&value, 1});
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind, ErrorKind::kInternal);
  }
}

TEST(Samples, AreIdentifiedByDataSelectionAndPreprocessing) {
  const auto identity = [](std::int64_t limit, const char* spec) {
    Dataset part = *subset(labelled({0, 1, 0, 1}, 2), {.classes = {}, .limit = limit});
    return Samples(std::move(part), pipeline(spec, 1)).identity();
  };
  EXPECT_EQ(identity(2, "identity"), identity(2, "identity"));
  EXPECT_NE(identity(2, "identity"), identity(3, "identity"));
  EXPECT_NE(identity(2, "identity"), identity(2, "auto"));
  EXPECT_EQ(identity(0, "auto"),
            R"({"spec":"cifar10:made.bin","sha256":"0123","count":4,"classes":2,)"
            R"("class_names":["class 0","class 1"],)"
            R"("selections":[],"preprocess":"auto"})");
}

}  // namespace
}  // namespace espalier::data
