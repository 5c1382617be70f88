// Data that is not pictures: NumPy arrays, archives of them, and tables of
// text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "array_files.hpp"
#include "data/data_files.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/data/sanity.hpp"
#include "espalier/data/subset.hpp"
#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"
#include "testing/npy.hpp"

namespace espalier::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempFolder;

using testing::npy;
using testing::zip;

const std::vector<std::int64_t> kLabels{2, 0, 1};

struct Files : TempFolder {
  std::string x_path;
  std::string y_path;
  // The spec of two files.
  std::string operator()(const std::string& x, const std::string& y = npy(kLabels, {3})) {
    x_path = write("x.npy", x);
    y_path = write("y.npy", y);
    return "npy:" + x_path + "," + y_path;
  }
};

template <typename T>
std::vector<T> counting(std::size_t count, int first = 0) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(first + static_cast<int>(i));
  return values;
}

// Sample `i` of a dataset as the input of a model of this shape.
std::vector<int> input(const Dataset& dataset, std::int64_t i, int h, int w, int c, float scale = 1,
                       int zero = 0, const char* preprocess = "auto") {
  const auto pipeline =
      make_pipeline(*parse_preprocess(preprocess), h, w, c, scale, zero, dataset.element);
  EXPECT_TRUE(pipeline.ok()) << pipeline.error().message();
  const Samples samples(dataset, *pipeline);
  std::vector<std::int8_t> out(samples.elements());
  const Status status = samples.input(i, out);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message());
  return {out.begin(), out.end()};
}

void refused(const std::string& spec, const std::vector<std::string>& parts,
             ErrorKind kind = ErrorKind::kBadInput) {
  const Result<Dataset> dataset = load_dataset(spec);
  ASSERT_FALSE(dataset.ok()) << parts.front();
  EXPECT_EQ(dataset.error().kind, kind);
  for (const std::string& part : parts) EXPECT_THAT(dataset.error().message(), HasSubstr(part));
}

TEST(Npy, Int8GoesInAsItIs) {
  Files files;
  for (const int version : {1, 2, 3}) {
    const auto dataset =
        load_dataset(files(npy(counting<std::int8_t>(3 * 10, -9), {3, 5, 2, 1}, version)));
    ASSERT_TRUE(dataset.ok()) << dataset.error().message();
    EXPECT_EQ(dataset->element, Element::kInt8);
    EXPECT_THAT(dataset->labels, ElementsAre(2, 0, 1));
    EXPECT_THAT(dataset->class_names, ElementsAre("0", "1", "2"));
    EXPECT_THAT(input(*dataset, 1, 5, 2, 1, 0.5F, 7), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    EXPECT_EQ(dataset->sha256, sha256_hex(*read_file(files.x_path) + *read_file(files.y_path)));
  }
}

TEST(Npy, LabelsOfEveryIntegerType) {
  Files files;
  const std::string x = npy(counting<std::int8_t>(6), {3, 2});
  for (const std::string& y :
       {npy(kLabels, {3}), npy(kLabels, {3, 1}), npy<std::int32_t>({2, 0, 1}, {3}),
        npy<std::uint8_t>({2, 0, 1}, {3}), npy<std::int8_t>({2, 0, 1}, {3})}) {
    const auto dataset = load_dataset(files(x, y));
    ASSERT_TRUE(dataset.ok()) << dataset.error().message();
    EXPECT_THAT(dataset->labels, ElementsAre(2, 0, 1));
  }
}

TEST(Npy, Float32IsQuantisedHalvesToEven) {
  Files files;
  const std::vector<float> values{0.0F, 0.25F, 0.75F, -0.25F, 1.5F, -100.0F, 100.0F, 0.5F, 0.3F};
  const auto dataset = load_dataset(files(npy(values, {3, 3})));
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_THAT(input(*dataset, 0, 1, 1, 3, 0.5F, 10), ElementsAre(10, 10, 12));
  EXPECT_THAT(input(*dataset, 1, 1, 1, 3, 0.5F, 10), ElementsAre(10, 13, -128));
  EXPECT_THAT(input(*dataset, 2, 1, 1, 3, 0.5F, 10), ElementsAre(127, 11, 11));
}

TEST(Npy, Uint8IsMappedAsPixelsAre) {
  Files files;
  const auto flat = load_dataset(files(npy(counting<std::uint8_t>(12), {3, 4})));
  ASSERT_TRUE(flat.ok()) << flat.error().message();
  EXPECT_EQ(flat->element, Element::kUint8);
  EXPECT_THAT(input(*flat, 1, 2, 2, 1, 5.0F, 3, "identity"), ElementsAre(-124, -123, -122, -121));
  EXPECT_THAT(input(*flat, 1, 2, 2, 1, 1.0F / 255, -128), ElementsAre(-124, -123, -122, -121));
  // Pictures of another size than the model's are resized.
  const auto pictures =
      load_dataset(files(npy(std::vector<std::uint8_t>(3 * 36 * 3, 77), {3, 6, 6, 3})));
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  EXPECT_EQ(pictures->element, Element::kPixel);
  EXPECT_THAT(input(*pictures, 0, 2, 2, 3, 1.0F / 255, -128), ::testing::Each(77 - 128));
}

// Six steps of three channels are a picture of 6x3 only to a model of pictures.
TEST(Npy, BytesOfASeriesAreNoPictures) {
  Files files;
  const Dataset series = *load_dataset(files(npy(counting<std::uint8_t>(54), {3, 6, 3})));
  EXPECT_EQ(element_for(series, 1, 6, 3), Element::kUint8);
  EXPECT_EQ(element_for(series, 6, 1, 3), Element::kUint8);
  EXPECT_EQ(element_for(series, 1, 3, 6), Element::kUint8);  // channels first
  EXPECT_EQ(element_for(series, 6, 3, 1), Element::kPixel);
  EXPECT_EQ(element_for(series, 6, 6, 3), Element::kPixel);
  const Dataset colour = *load_dataset(files(npy(counting<std::uint8_t>(54), {3, 3, 2, 3})));
  EXPECT_EQ(element_for(colour, 3, 2, 3), Element::kPixel);
  EXPECT_EQ(element_for(colour, 6, 4, 3), Element::kPixel);
}

// Every shape that holds the model's values: as they are, flat, with axes of
// one, channels first.
TEST(Npy, ShapesThatFitTheModel) {
  Files files;
  const int h = 4;
  const int w = 3;
  const int c = 2;
  const auto values = counting<std::int8_t>(24);
  const auto fitted = [&](const std::vector<int>& shape) {
    std::vector<int> with_samples{3};
    with_samples.insert(with_samples.end(), shape.begin(), shape.end());
    std::vector<std::int8_t> all;
    for (int i = 0; i < 3; ++i) all.insert(all.end(), values.begin(), values.end());
    const auto dataset = load_dataset(files(npy(all, with_samples)));
    EXPECT_TRUE(dataset.ok());
    return input(*dataset, 2, h, w, c);
  };
  std::vector<int> in_order(24);
  std::iota(in_order.begin(), in_order.end(), 0);
  for (const std::vector<int>& shape :
       {std::vector{4, 3, 2}, {24}, {1, 24}, {24, 1, 1}, {4, 1, 3, 1, 2}, {1, 4, 3, 2}}) {
    EXPECT_EQ(fitted(shape), in_order);
  }
  std::vector<int> transposed;
  for (int p = 0; p < h * w; ++p) {
    for (int k = 0; k < c; ++k) transposed.push_back(k * h * w + p);
  }
  EXPECT_EQ(fitted({2, 4, 3}), transposed);
}

// A file of channels first, 3 x 1 x 2, read by a model whose values are channels last.
TEST(Npy, SamplesMayFollowTheModelFile) {
  Files files;
  for (const std::vector<int>& shape : {std::vector{3, 6}, {3, 3, 2}, {3, 3, 1, 2}}) {
    const Dataset dataset = *load_dataset(files(npy(counting<std::int8_t>(18), shape)));
    InputPipeline pipeline = *make_pipeline({}, 1, 2, 3, 1, 0, dataset.element);
    pipeline.set_file_layout({3, 1, 2}, {0, 2, 4, 1, 3, 5}, Element::kInt8);
    const Samples samples(dataset, pipeline);
    std::vector<std::int8_t> out(6);
    ASSERT_TRUE(samples.input(0, out).ok());
    EXPECT_THAT(out, ElementsAre(0, 2, 4, 1, 3, 5));
  }
}

// Integers of scale 0.5 and zero point 3 for a model of scale 0.25 and zero point -1.
TEST(Npy, IntegersMayCarryAQuantisationOfTheirOwn) {
  Files files;
  const Preprocess own = *parse_preprocess("quantized=0.5:3");
  const auto read = [&](const std::string& features) {
    const Dataset dataset = *load_dataset(files(features));
    const Samples samples(dataset, *make_pipeline(own, 1, 2, 1, 0.25F, -1, dataset.element));
    EXPECT_EQ(samples.pipeline().description(), "quantized=0.5:3");
    std::vector<std::int8_t> out(2);
    EXPECT_TRUE(samples.input(1, out).ok());
    return out;
  };
  EXPECT_THAT(read(npy<std::int8_t>({0, 0, -5, 13, 0, 0}, {3, 2})), ElementsAre(-17, 19));
  EXPECT_THAT(read(npy<std::uint8_t>({0, 0, 251, 13, 0, 0}, {3, 2})), ElementsAre(127, 19));
  EXPECT_EQ(*preprocess_from_json(to_json(own), "recipe"), own);
  for (const Element element : {Element::kPixel, Element::kFloat32}) {
    EXPECT_FALSE(make_pipeline(own, 1, 2, 1, 0.25F, -1, element).ok());
  }
  for (const char* wrong : {"quantized=0.5", "quantized=0:3", "quantized=0.5:300",
                            "quantized=0.5:3,identity", "quantized=x:3"}) {
    EXPECT_FALSE(parse_preprocess(wrong).ok()) << wrong;
  }
}

TEST(Npy, Int8ForAModelOfFloatsIsDoubted) {
  Files files;
  const Dataset dataset = *load_dataset(files(npy(counting<std::int8_t>(18), {3, 6})));
  for (const char* preprocess : {"", "quantized=0.5:3"}) {
    InputPipeline pipeline =
        *make_pipeline(*parse_preprocess(preprocess), 1, 6, 1, 0.25F, -1, dataset.element);
    pipeline.set_file_layout({6}, {0, 1, 2, 3, 4, 5}, Element::kFloat32);
    const std::vector<std::string> found = input_doubts(Samples(dataset, pipeline));
    if (*preprocess != '\0') {
      EXPECT_TRUE(found.empty());
    } else {
      ASSERT_EQ(found.size(), 1U);
      EXPECT_THAT(found[0], HasSubstr("of scale 0.25 and zero point -1"));
    }
  }
}

// Two steps of two channels, of a file that has channels first or last.
TEST(Npy, AxesOfTwoOrdersAreDoubted) {
  Files files;
  const Dataset dataset = *load_dataset(files(npy(counting<std::int8_t>(12, -9), {3, 2, 2})));
  const Dataset flat = *load_dataset(files(npy(counting<std::int8_t>(12, -9), {3, 4})));
  InputPipeline pipeline = *make_pipeline({}, 1, 2, 2, 1, 0, dataset.element);
  EXPECT_TRUE(input_doubts(Samples(dataset, pipeline)).empty());
  pipeline.set_file_layout({2, 2}, {0, 1, 2, 3}, Element::kInt8);
  EXPECT_TRUE(input_doubts(Samples(dataset, pipeline)).empty());
  pipeline.set_file_layout({2, 2}, {0, 2, 1, 3}, Element::kInt8);
  EXPECT_THAT(input_doubts(Samples(dataset, pipeline)),
              ElementsAre(HasSubstr("the order of the model's file, which is taken, and")));
  EXPECT_TRUE(input_doubts(Samples(flat, pipeline)).empty());
}

TEST(Npy, ShapesThatDoNotFitTheModel) {
  Files files;
  for (const std::vector<int>& shape : {std::vector{3, 3, 4, 2}, {3, 12}, {3, 2, 12}, {3, 25}}) {
    int count = 1;
    for (const int extent : shape) count *= extent;
    const Dataset dataset =
        *load_dataset(files(npy(counting<std::int8_t>(static_cast<std::size_t>(count)), shape)));
    const Samples samples(dataset, *make_pipeline({}, 4, 3, 2, 1, 0, dataset.element));
    std::vector<std::int8_t> out(24);
    const Status status = samples.input(0, out);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(status.error().message(), HasSubstr("do not fit the model's input, 4x3x2"));
  }
}

TEST(Npy, RefusesWhatCannotBeLearned) {
  Files files;
  const auto x = counting<float>(6);
  const std::string features = npy(x, {3, 2});
  refused(files(features, npy(x, {3, 2})), {"y.npy", "an autoencoder"});
  refused(files(features, npy<float>({0.5F, 1, 2}, {3})),
          {"y.npy", "float32", "a regression", "astype('int64')"});
  refused(files(features, npy<std::int64_t>({1, 0, 0, 1, 0, 1}, {3, 2})), {"one-hot", "argmax"});
  refused(files(features, npy<double>({1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3})),
          {"float64", "one-hot", "argmax"});
  refused(files(features, npy<std::int64_t>({0, -1, 1}, {3})), {"label -1 of sample 1"});
  refused(files(features, npy<std::int64_t>({0, 1LL << 40, 1}, {3})), {"of sample 1"});
  refused(files(features, npy(kLabels, {2, 1, 1})), {"y.npy"});
  refused(files(features, npy<std::int64_t>({0, 1}, {2})), {"2 labels for the 3 samples"});
}

TEST(Npy, RefusesOtherArrays) {
  Files files;
  refused(files(npy(counting<double>(6), {3, 2})), {"x.npy", "float64", "astype"});
  refused(files(npy(counting<float>(6), {3, 2}, 1, ">f4")), {"x.npy", "'>f4'"});
  refused(files(npy(counting<float>(6), {3, 2}, 1, "<c8")), {"x.npy", "'<c8'"});
  refused(files(npy(counting<float>(6), {3, 2}, 1, "<f4", true)), {"ascontiguousarray"});
  refused(files(npy(counting<float>(0), {0, 2})), {"shape [0x2]"});
  refused(files(npy(counting<float>(48), {3, 2, 2, 2, 2})), {"up to three axes"});
  refused(files(npy(counting<float>(5), {3, 2})), {"20 bytes", "24"});
  refused(files(npy(counting<float>(6), {3, 2000000000})), {"beyond the limit"});
  refused(files("hello, this is text"), {"x.npy", "numpy.save"});
  refused("npy:x.npy", {"two files are needed"}, ErrorKind::kUsage);
}

// Cut anywhere, or with any byte of its header changed, a file is read or
// refused.
TEST(Npy, DamagedFilesAreToldApart) {
  Files files;
  const std::string good = npy(counting<std::int8_t>(6), {3, 2});
  for (std::size_t i = 0; i < good.size(); ++i) {
    refused(files(good.substr(0, i)), {"x.npy"});
    std::string damaged = good;
    damaged[i] = static_cast<char>(~damaged[i]);
    const Result<Dataset> dataset = load_dataset(files(damaged));
    if (!dataset.ok()) {
      EXPECT_EQ(dataset.error().kind, ErrorKind::kBadInput);
    }
  }
}

TEST(Npy, ValuesThatAreNoNumber) {
  Files files;
  const Dataset dataset = *load_dataset(files(npy<float>({0, 1, NAN, 2, INFINITY, 3}, {3, 2})));
  const Samples samples(dataset, *make_pipeline({}, 1, 1, 2, 1, 0, dataset.element));
  std::vector<std::int8_t> out(2);
  EXPECT_TRUE(samples.input(0, out).ok());
  EXPECT_THAT(samples.input(1, out).error().message(), HasSubstr("sample 1: value 0"));
  EXPECT_FALSE(samples.input(2, out).ok());
}

TEST(Npy, PreprocessingHasNoPartInNumbers) {
  for (const Element element : {Element::kInt8, Element::kFloat32}) {
    for (const char* preprocess : {"identity", "mean=0.5,std=0.5", "resize=4"}) {
      const auto pipeline = make_pipeline(*parse_preprocess(preprocess), 4, 4, 5, 1, 0, element);
      ASSERT_FALSE(pipeline.ok());
      EXPECT_EQ(pipeline.error().kind, ErrorKind::kUsage);
    }
  }
  EXPECT_FALSE(make_pipeline(*parse_preprocess("resize=4"), 4, 4, 5, 1, 0, Element::kUint8).ok());
}

TEST(Npy, TheRecipeSaysHowValuesGotIn) {
  Files files;
  const auto identity = [&](const std::string& x) {
    const Dataset dataset = *load_dataset(files(x));
    return Samples(dataset, *make_pipeline({}, 1, 1, 2, 1, 0, dataset.element)).identity_json();
  };
  const Json int8 = identity(npy(counting<std::int8_t>(6), {3, 2}));
  EXPECT_EQ(int8["element"], "int8");
  EXPECT_EQ(int8["preprocess"], "int8 as it is");
  EXPECT_EQ(int8["spec"], "npy:x.npy,y.npy");
  EXPECT_EQ(identity(npy(counting<float>(6), {3, 2}))["preprocess"], "float32 quantised");
}

TEST(Npy, SelectionsKeepTheElement) {
  Files files;
  const Dataset dataset = *load_dataset(files(npy(counting<std::int8_t>(6), {3, 2})));
  EXPECT_EQ(subset(dataset, {.classes = {2, 0}})->element, Element::kInt8);
  EXPECT_EQ(subset(dataset, {.classes = {}, .limit = 1})->element, Element::kInt8);
}

TEST(Npz, EqualsTheTwoFiles) {
  Files files;
  const std::string x = npy(counting<std::int8_t>(6), {3, 2});
  const std::string y = npy(kLabels, {3});
  const Dataset expected = *load_dataset(files(x, y));
  for (const bool deflated : {false, true}) {
    const std::string archive = zip({{"x.npy", x}, {"y.npy", y}}, deflated);
    const auto dataset = load_dataset("npz:" + files.write("set.npz", archive));
    ASSERT_TRUE(dataset.ok()) << dataset.error().message();
    EXPECT_EQ(dataset->images, expected.images);
    EXPECT_EQ(dataset->labels, expected.labels);
    EXPECT_EQ(dataset->sha256, sha256_hex(archive));
  }
}

TEST(Npz, MembersAreFoundByName) {
  Files files;
  const std::string x = npy(counting<std::int8_t>(6), {3, 2});
  const std::string other = npy(counting<std::int8_t>(6, 50), {3, 2});
  const std::string y = npy(kLabels, {3});
  const auto path = files.write(
      "set.npz",
      zip({{"X_train.npy", x}, {"Y_train.npy", y}, {"X_test.npy", other}, {"Y_test.npy", y}},
          true));
  refused("npz:" + path, {"several arrays of features", "X_train, Y_train, X_test, Y_test"});
  const auto dataset = load_dataset("npz:" + path + ",X_test,Y_test");
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->images[0].pixels[0], 50);
  EXPECT_EQ(portable_spec(dataset->spec), "npz:set.npz,X_test,Y_test");
  refused("npz:" + path + ",X_test,labels", {"has no array of 'labels'"});
  refused("npz:" + path + ",a,b,c", {"too many parts"}, ErrorKind::kUsage);
  const auto one = files.write("one.npz", zip({{"features.npy", x}}, false));
  refused("npz:" + one, {"has no array of labels"});
}

TEST(Npz, DamagedArchivesAreToldApart) {
  Files files;
  const std::string good =
      zip({{"x.npy", npy(counting<std::int8_t>(6), {3, 2})}, {"y.npy", npy(kLabels, {3})}}, true);
  for (std::size_t i = 0; i < good.size(); ++i) {
    refused("npz:" + files.write("cut.npz", good.substr(0, i)), {"cut.npz"});
    std::string damaged = good;
    damaged[i] = static_cast<char>(~damaged[i]);
    const Result<Dataset> dataset = load_dataset("npz:" + files.write("bad.npz", damaged));
    if (!dataset.ok()) {
      EXPECT_EQ(dataset.error().kind, ErrorKind::kBadInput);
    }
  }
}

// Values of a dataset of real numbers.
std::vector<float> reals(const Image& image) {
  std::vector<float> values(image.pixels.size() / sizeof(float));
  std::memcpy(values.data(), image.pixels.data(), image.pixels.size());
  return values;
}

TEST(Csv, LabelsAreNamesOrNumbers) {
  const TempFolder folder;
  const auto named = load_dataset(
      "csv:" + folder.write("a.csv", "x,y z,label\n1,2.5,walk\r\n-3e1,+4,run\n0.5,6,walk\n"));
  ASSERT_TRUE(named.ok()) << named.error().message();
  EXPECT_EQ(named->element, Element::kFloat32);
  EXPECT_THAT(named->class_names, ElementsAre("run", "walk"));
  EXPECT_THAT(named->labels, ElementsAre(1, 0, 1));
  EXPECT_THAT(reals(named->images[1]), ElementsAre(-30.0F, 4.0F));
  const auto numbered = load_dataset("csv:" + folder.write("b.csv", "1;2;0\n3;4;2\n"));
  ASSERT_TRUE(numbered.ok()) << numbered.error().message();
  EXPECT_EQ(numbered->classes, 3);
  EXPECT_THAT(numbered->labels, ElementsAre(0, 2));
  EXPECT_THAT(reals(numbered->images[1]), ElementsAre(3.0F, 4.0F));
}

TEST(Csv, AQuotedSeparatorIsNone) {
  const TempFolder folder;
  const auto quoted = load_dataset(
      "csv:" + folder.write("a.csv", "\"length, mm\";\"width, mm\";label\n1;2;0\n3;4;1\n"));
  ASSERT_TRUE(quoted.ok()) << quoted.error().message();
  EXPECT_THAT(quoted->labels, ElementsAre(0, 1));
  EXPECT_THAT(reals(quoted->images[1]), ElementsAre(3.0F, 4.0F));
}

// Among other words these are names, such as that of an unknown kind.
TEST(Csv, WordsForWhatIsMissingMayBeNames) {
  const TempFolder folder;
  const auto named = load_dataset("csv:" + folder.write("a.csv", "1,2,1\n3,4,na\n5,6,b\n"));
  ASSERT_TRUE(named.ok()) << named.error().message();
  EXPECT_THAT(named->class_names, ElementsAre("1", "b", "na"));
}

TEST(Csv, TheLabelColumnIsFound) {
  const TempFolder folder;
  const auto labels = [&](const std::string& text, const std::string& column = "") {
    const auto dataset = load_dataset("csv:" + folder.write("t.csv", text) + column);
    EXPECT_TRUE(dataset.ok()) << dataset.error().message();
    return dataset->class_names;
  };
  EXPECT_THAT(labels("Class,a,b\nx,1,2\ny,3,4\n"), ElementsAre("x", "y"));
  EXPECT_THAT(labels("a,kind,b\n1,x,2\n3,y,4\n", ",kind"), ElementsAre("x", "y"));
  EXPECT_THAT(labels("0,1,label\n1,2,x\n3,4,y\n"), ElementsAre("x", "y"));
  EXPECT_THAT(labels("1,2,y\n3,4,n\n"), ElementsAre("n", "y"));
  EXPECT_THAT(labels("X,Y,Z,activity\n1,2,3,run\n4,5,6,walk\n"), ElementsAre("run", "walk"));
  EXPECT_THAT(labels("x,y,z,activity\n1,7,3,0\n4,5,6,1\n"), ElementsAre("0", "1"));
  EXPECT_THAT(labels("a,b,label\n1,2,\"x, \"\"1\"\"\"\n"), ElementsAre("x, \"1\""));
  EXPECT_THAT(labels("\xef\xbb\xbflabel\ta\nx\t1\n\ny\t2\n"), ElementsAre("x", "y"));
  refused("csv:" + folder.write("t.csv", "a,b\n1,2\n") + ",kind", {"no column is called 'kind'"});
  refused("csv:" + folder.write("t.csv", "1,2\n1,2\n") + ",kind", {"has no header"});
}

// A header and samples with and without one, whose rows are those of the header's file.
TEST(Csv, HeadersThatCountColumns) {
  const TempFolder folder;
  const auto read = [&](const std::string& text) {
    const auto dataset = load_dataset("csv:" + folder.write("t.csv", text));
    EXPECT_TRUE(dataset.ok()) << text << dataset.error().message();
    return *dataset;
  };
  for (const char* header : {"0,1,y", "1,2,y", "0,1,garment", "\"0\",\"1\",\"y\"", "0,1,target"}) {
    const Dataset numbers = read(header + std::string("\n0.5,-1,2\n\n3,4,0\n"));
    EXPECT_THAT(numbers.labels, ElementsAre(2, 0)) << header;
    EXPECT_THAT(numbers.class_names, ElementsAre("0", "1", "2")) << header;
    EXPECT_THAT(reals(numbers.images[0]), ElementsAre(0.5F, -1.0F)) << header;
  }
  for (const char* header : {"0,1,2,garment", "1,2,3,y", "0,1,2,label"}) {
    const Dataset names = read(header + std::string("\n0.5,-1,7,top\n3,4,7,shoe\n"));
    EXPECT_THAT(names.class_names, ElementsAre("shoe", "top")) << header;
    EXPECT_EQ(names.size(), 2) << header;
  }
  const Dataset front = read("garment,0,1\ntop,3,4\nshoe,5,6\n");
  EXPECT_THAT(front.class_names, ElementsAre("shoe", "top"));
  EXPECT_THAT(reals(front.images[1]), ElementsAre(5.0F, 6.0F));
  // Samples, whatever the first one has.
  EXPECT_EQ(read("0,1,2,run\n3,4,5,walk\n6,7,8,run\n").size(), 3);
  EXPECT_EQ(read("1,2,y\n3,4,n\n").size(), 2);
  EXPECT_EQ(read("1,2,y\n").size(), 1);
  EXPECT_EQ(read("0,1,3,y\n3,4,5,n\n").size(), 2);
}

TEST(Csv, AClassMayBeCalledAsColumnsAre) {
  const TempFolder folder;
  const auto spec = [&](const std::string& text) { return "csv:" + folder.write("t.csv", text); };
  const auto sonar = load_dataset(spec("0.1,0.2,target\n0.3,0.4,clutter\n0.5,0.6,target\n"));
  ASSERT_TRUE(sonar.ok()) << sonar.error().message();
  EXPECT_THAT(sonar->class_names, ElementsAre("clutter", "target"));
  EXPECT_THAT(sonar->labels, ElementsAre(1, 0, 1));
  // Columns may be named by numbers that do not count them.
  const auto spectra = load_dataset(spec("400,402.5,target\n0.3,0.4,clutter\n0.5,0.6,plastic\n"));
  ASSERT_TRUE(spectra.ok()) << spectra.error().message();
  EXPECT_THAT(spectra->class_names, ElementsAre("clutter", "plastic"));
  refused(spec("target,0.1,0.2\nclutter,0.3,0.4\ntarget,0.5,0.6\n"),
          {"t.csv:1: column 1: 'target' is not a number"});
}

TEST(Csv, SaysWhereItIsWrong) {
  const TempFolder folder;
  const auto wrong = [&](const std::string& text, const std::string& part) {
    refused("csv:" + folder.write("t.csv", text), {part});
  };
  wrong("a,b,label\n1,2,x\n1,two,y\n", "t.csv:3: column 2: 'two' is not a number");
  wrong("a,b,label\n1,,x\n", "t.csv:2: column 2: '' is not a number");
  wrong("a,b,label\n1,nan,x\n", "t.csv:2: column 2");
  wrong("a;b;label\n1;0,5;x\n", "'0,5' is not a number; write decimals with a point");
  using std::string_literals::operator""s;
  wrong(
      "\xff\xfe"
      "a\0,\0b\0\n\0"
      "1\0,\0x\0\n\0"s,
      "t.csv: holds bytes of 0, as UTF-16");
  wrong("a,b,label\n1,1e999,x\n", "t.csv:2: column 2");
  wrong("a,b,label\n1,2,x\n1,2\n", "t.csv:3: has 2 columns, and the first line 3");
  wrong("a,b,label\n1,2,\n", "the label is missing");
  wrong("a,b,label\n1,2,0\n1,2,NA\n1,2,nan\n", "t.csv:3: the label is missing, 'NA' among");
  wrong("1,2,0.5\n1,2,1\n", "t.csv:1: label 0.5 makes this a regression");
  wrong("1,2,-1\n", "a regression");
  wrong("a,b,label\n\n1,2,0\n\n1,2,0.5\n", "t.csv:5: label 0.5 makes this a regression");
  wrong("alone\n", "one column");
  wrong("a,b,label\n", "holds no sample");
  wrong("", "holds no sample");
}

TEST(KeywordSpotting, ReadsTheSharedFeatures) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::string kws = (path / "kws").string();
  const auto dataset = load_dataset("npy:" + kws + "/features.npy," + kws + "/labels.npy");
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->size(), 1000);
  EXPECT_EQ(dataset->classes, 12);
  const auto expected = testing::read_npy<std::int8_t>(path / "kws" / "features.npy");
  const std::vector<int> first = input(*dataset, 0, 49, 10, 1, 0.58F, 83);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), expected.values.begin()));
}

}  // namespace
}  // namespace espalier::data
