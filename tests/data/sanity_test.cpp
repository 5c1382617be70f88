#include "espalier/data/sanity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/data_files.hpp"

namespace espalier::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::labelled;
using testing::noise_image;

Samples noise(const char* preprocess, int count = 8, std::uint8_t divide = 1) {
  Dataset dataset = labelled(std::vector<int>(static_cast<std::size_t>(count), 0), 1);
  std::uint32_t seed = 1;
  for (Image& image : dataset.images) {
    image = noise_image(6, 6, 3, ++seed);
    for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(p / divide);
  }
  return {std::move(dataset),
          *make_pipeline(*parse_preprocess(preprocess), 6, 6, 3, 2.0F / 255, 0)};
}

TEST(DataDoubts, NoneAboutSoundData) {
  EXPECT_THAT(doubts(labelled({0, 1, 2, 0}, 3)), IsEmpty());
  for (const char* preprocess :
       {"auto", "identity", "mean=0.5,std=0.5", "mean=0.4:0.5:0.5,std=1:1:1"}) {
    EXPECT_THAT(input_doubts(noise(preprocess)), IsEmpty()) << preprocess;
  }
}

TEST(DataDoubts, OneClass) {
  EXPECT_THAT(doubts(labelled({0, 0}, 1)),
              ElementsAre(HasSubstr("all 2 samples are of class 'class 0'")));
  EXPECT_THAT(doubts(labelled({1, 1, 1}, 2)),
              ElementsAre(HasSubstr("of class 'class 1'"), HasSubstr("no sample of 1 class")));
}

TEST(DataDoubts, ClassesWithoutSamples) {
  EXPECT_THAT(doubts(labelled({0, 2, 2, 0, 0}, 4)),
              ElementsAre(HasSubstr("made.bin: no sample of 2 classes: class 1, class 3")));
}

TEST(DataDoubts, LabelsThatBeginAtOne) {
  Dataset dataset = labelled({1, 2, 3, 1}, 4);
  dataset.class_names = {"0", "1", "2", "3"};
  EXPECT_THAT(doubts(dataset),
              ElementsAre(AllOf(HasSubstr("labels begin at 1"), HasSubstr("--classes 1-3"))));
}

TEST(DataDoubts, FewerSamplesThanClasses) {
  EXPECT_THAT(doubts(labelled({0, 1}, 3)),
              ElementsAre(HasSubstr("no sample of"), HasSubstr("2 samples are fewer than its 3")));
}

// So many samples of each class.
Dataset of_sizes(const std::vector<int>& sizes) {
  std::vector<int> labels;
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    labels.insert(labels.end(), static_cast<std::size_t>(sizes[c]), static_cast<int>(c));
  }
  return labelled(labels, static_cast<int>(sizes.size()));
}

TEST(ScarceDoubts, ClassesThatAreHardlyTrained) {
  EXPECT_THAT(scarce_doubts(of_sizes({561, 1, 30, 4})),
              ElementsAre(AllOf(HasSubstr("fewer than 5 samples to train on of 2 classes: class 1, "
                                          "class 3"),
                                HasSubstr("561 of 'class 0'"))));
  // Neither few of everything, nor what is merely uneven, nor what has none and is said elsewhere.
  for (const std::vector<int>& sizes :
       {std::vector{1, 19}, {4, 79}, {5, 1000}, {0, 1000}, {2, 2, 2}, {0, 0}}) {
    EXPECT_THAT(scarce_doubts(of_sizes(sizes)), IsEmpty());
  }
}

TEST(ScarceDoubts, AreOfTheTrainingSetAlone) {
  const auto samples = [](Dataset dataset, std::uint32_t seed) {
    for (Image& image : dataset.images) image = noise_image(6, 6, 3, seed++);
    return Samples(std::move(dataset), *make_pipeline({}, 6, 6, 3, 2.0F / 255, 0));
  };
  const Dataset uneven = of_sizes({40, 1});
  const Dataset even = of_sizes({10, 10});
  EXPECT_THAT(set_doubts(samples(uneven, 1), samples(even, 100)),
              ElementsAre(HasSubstr("fewer than 5 samples to train on of 1 class: class 1")));
  EXPECT_THAT(set_doubts(samples(even, 1), samples(uneven, 100)), IsEmpty());
}

TEST(InputDoubts, PreprocessingThatLeavesOneValue) {
  for (const char* preprocess :
       {"mean=127.5,std=127.5", "mean=0.5,std=127.5", "mean=128:128:128,std=58:57:57",
        "mean=0,std=100000", "mean=-300,std=1"}) {
    EXPECT_THAT(input_doubts(noise(preprocess)),
                ElementsAre(AllOf(HasSubstr("nearly the same"), HasSubstr("scaled to 0..1"))))
        << preprocess;
  }
}

TEST(InputDoubts, PreprocessingThatSaturates) {
  EXPECT_THAT(input_doubts(noise("mean=0.5,std=0.001")),
              ElementsAre(HasSubstr("at the ends of -128..127")));
}

TEST(InputDoubts, FlatPicturesAreNotPreprocessingsFault) {
  EXPECT_THAT(input_doubts(noise("auto", 8, 200)),
              ElementsAre(HasSubstr("samples hardly vary themselves")));
}

TEST(InputDoubts, LineDrawingsLieAtTheEnds) {
  Dataset dataset = labelled({0}, 1);
  dataset.images[0] = noise_image(6, 6, 3);
  for (std::uint8_t& p : dataset.images[0].pixels) p = p < 128 ? 0 : 255;
  const Samples samples(std::move(dataset), *make_pipeline({}, 6, 6, 3, 2.0F / 255, 0));
  EXPECT_THAT(input_doubts(samples), IsEmpty());
}

TEST(OverlapDoubts, CountSharedSamples) {
  const Dataset training = labelled({0, 1, 0, 1}, 2);  // pixels 0 to 3
  Dataset test = labelled({0, 1, 0}, 2);
  EXPECT_THAT(overlap_doubts(training, test), ElementsAre(HasSubstr("every sample of")));
  test.images[0].pixels[0] = 77;
  EXPECT_THAT(overlap_doubts(training, test), ElementsAre(HasSubstr("2 of the 3 samples of")));
  for (Image& image : test.images) image.pixels[0] = 200;
  EXPECT_THAT(overlap_doubts(training, test), IsEmpty());
  // The same bytes in another form are another picture.
  Dataset wide = labelled({0}, 2);
  wide.images[0] = {1, 2, 1, {0, 0}};
  Dataset high = wide;
  high.images[0] = {2, 1, 1, {0, 0}};
  EXPECT_THAT(overlap_doubts(wide, high), IsEmpty());
}

}  // namespace
}  // namespace espalier::data
