#include "espalier/data/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/data_files.hpp"
#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"
#include "testing/npy.hpp"

namespace espalier::data {
namespace {

using ::testing::AllOf;
using testing::cifar_record;
using ::testing::ElementsAre;
using testing::gzip;
using ::testing::HasSubstr;
using testing::idx_file;
using testing::jpeg_file;
using testing::noise_image;
using testing::png_file;
using ::testing::SizeIs;
using testing::TempFolder;

// Expects load_dataset(spec) to fail with this kind and each of these in its text.
void expect_error(const std::string& spec, ErrorKind kind, const std::vector<std::string>& parts) {
  const Result<Dataset> dataset = load_dataset(spec);
  ASSERT_FALSE(dataset.ok()) << spec;
  EXPECT_EQ(dataset.error().kind, kind) << dataset.error().message();
  for (const std::string& part : parts) EXPECT_THAT(dataset.error().message(), HasSubstr(part));
}

TEST(LoadDataset, RefusesASpecItDoesNotKnow) {
  expect_error("", ErrorKind::kUsage, {"cifar10:FILE", "idx:IMAGES,LABELS", "folder:DIR"});
  expect_error("data.bin", ErrorKind::kUsage, {"'data.bin'", "cifar10:FILE"});
  expect_error("cifar100:a.bin", ErrorKind::kUsage, {"cifar100", "unknown format"});
  expect_error("cifar10:", ErrorKind::kUsage, {"file name is missing"});
  expect_error("cifar10:a,,b", ErrorKind::kUsage, {"file name is missing"});
  expect_error("folder:", ErrorKind::kUsage, {"file name is missing"});
  expect_error("idx:images", ErrorKind::kUsage, {"two files"});
  expect_error("idx:a,b,c", ErrorKind::kUsage, {"two files"});
}

TEST(LoadDataset, ReportsMissingFiles) {
  const TempFolder folder;
  const std::string none = (folder.path() / "none").string();
  const std::string images = folder.write("images", idx_file({1, 2, 2}, "abcd"));
  expect_error("cifar10:" + none, ErrorKind::kMissingInput, {none});
  expect_error("idx:" + none + "," + images, ErrorKind::kMissingInput, {none});
  expect_error("idx:" + images + "," + none, ErrorKind::kMissingInput, {none});
  expect_error("folder:" + none, ErrorKind::kMissingInput, {none});
}

TEST(LoadDataset, RefusesWhatIsNotARegularFile) {
  expect_error("cifar10:" + std::filesystem::temp_directory_path().string(), ErrorKind::kBadInput,
               {"is a directory"});
  expect_error("cifar10:/dev/zero", ErrorKind::kBadInput, {"not a regular file"});
}

TEST(Cifar10, ReadsRecordsOfSeveralFilesInOrder) {
  const TempFolder folder;
  const std::string a = cifar_record(3, 0) + cifar_record(9, 40);
  const std::string b = cifar_record(0, 80);
  const std::string spec = "cifar10:" + folder.write("a.bin", a) + "," + folder.write("b.bin", b);
  const Result<Dataset> dataset = load_dataset(spec);
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_THAT(dataset->labels, ElementsAre(3, 9, 0));
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->classes, 10);
  EXPECT_THAT(dataset->class_names, SizeIs(10));
  EXPECT_EQ(dataset->class_names[9], "truck");
  EXPECT_EQ(dataset->spec, spec);
  EXPECT_EQ(dataset->sha256, sha256_hex(a + b));
  for (const Image& image : dataset->images) {
    EXPECT_THAT((std::vector{image.height, image.width, image.channels}), ElementsAre(32, 32, 3));
    EXPECT_THAT(image.pixels, SizeIs(32 * 32 * 3));
  }
  const Image& second = dataset->images[1];
  EXPECT_EQ(second.pixels[(5 * 32 + 6) * 3 + 2], 40 + 7 * 5 + 6 + 31 * 2);
}

TEST(Cifar10, SaysWhichRecordIsWrong) {
  const TempFolder folder;
  const std::string good = cifar_record(1) + cifar_record(2);
  expect_error("cifar10:" + folder.write("short.bin", good + cifar_record(3).substr(0, 100)),
               ErrorKind::kBadInput, {"short.bin", "record 2", "100 of 3073 bytes"});
  expect_error("cifar10:" + folder.write("tiny.bin", "abc").substr(0), ErrorKind::kBadInput,
               {"tiny.bin", "record 0", "3 of 3073 bytes"});
  expect_error("cifar10:" + folder.write("label.bin", good + cifar_record(10)),
               ErrorKind::kBadInput, {"label.bin", "record 2", "label 10", "0 to 9"});
  expect_error("cifar10:" + folder.write("high.bin", good + cifar_record(255)),
               ErrorKind::kBadInput, {"record 2", "label 255"});
  expect_error("cifar10:" + folder.write("empty.bin", ""), ErrorKind::kBadInput,
               {"empty.bin", "no record"});
  expect_error("cifar10:" + folder.write("packed.bin", gzip(good)), ErrorKind::kBadInput,
               {"packed.bin", "gzip"});
  expect_error(
      "cifar10:" + folder.write("good.bin", good) + "," + (folder.path() / "short.bin").string(),
      ErrorKind::kBadInput, {"short.bin", "record 2"});
}

TEST(Cifar10, ReadsTheSharedTestFile) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const Result<Dataset> dataset =
      load_dataset("cifar10:" + (path / "cifar10" / "test_2k.bin").string());
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->size(), 2000);
  std::vector<int> histogram(10, 0);
  for (const int label : dataset->labels) ++histogram[static_cast<std::size_t>(label)];
  EXPECT_THAT(histogram, ::testing::Each(200));

  const std::filesystem::path golden = path / "mlperf_tiny" / "resnet8_golden";
  const auto images = testing::read_npy<std::uint8_t>(golden / "input_u8_nhwc.npy");
  const auto labels = testing::read_npy<std::uint8_t>(golden / "labels.npy");
  ASSERT_EQ(images.values.size(), 16U * 3072);
  for (std::size_t i = 0; i < 16; ++i) {
    const std::vector<std::uint8_t> expected(
        images.values.begin() + static_cast<std::ptrdiff_t>(i * 3072),
        images.values.begin() + static_cast<std::ptrdiff_t>((i + 1) * 3072));
    EXPECT_EQ(dataset->images[i].pixels, expected) << i;
  }
}

TEST(Idx, ReadsGreyImages) {
  const TempFolder folder;
  const std::string images = idx_file({3, 2, 2}, "abcdefghijkl");
  const std::string labels = idx_file({3}, std::string("\x04\x00\x02", 3));
  const Result<Dataset> dataset =
      load_dataset("idx:" + folder.write("i", images) + "," + folder.write("l", labels));
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_THAT(dataset->labels, ElementsAre(4, 0, 2));
  EXPECT_EQ(dataset->classes, 5);
  EXPECT_THAT(dataset->class_names, ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_EQ(dataset->sha256, sha256_hex(images + labels));
  EXPECT_EQ(dataset->images[1], (Image{2, 2, 1, {'e', 'f', 'g', 'h'}}));
}

TEST(Idx, ReadsColourImagesAndTellsGzipByContent) {
  const TempFolder folder;
  const std::string images = gzip(idx_file({2, 1, 2, 3}, "abcdefghijkl"));
  const std::string labels = gzip(idx_file({2}, std::string("\x00\x01", 2)));
  // The names say nothing about the compression.
  const Result<Dataset> dataset =
      load_dataset("idx:" + folder.write("i.bin", images) + "," + folder.write("l", labels));
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->images[1], (Image{1, 2, 3, {'g', 'h', 'i', 'j', 'k', 'l'}}));
  EXPECT_EQ(dataset->sha256, sha256_hex(images + labels)) << "of the files as they are stored";
}

TEST(Idx, ReadsGzipOfSeveralMembers) {
  const TempFolder folder;
  const std::string images = idx_file({2, 1, 1}, "ab");
  const std::string packed = gzip(images.substr(0, 7)) + gzip("") + gzip(images.substr(7));
  const Result<Dataset> dataset =
      load_dataset("idx:" + folder.write("i", packed) + "," +
                   folder.write("l", idx_file({2}, std::string("\x00\x01", 2))));
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->images[1].pixels, std::vector<std::uint8_t>{'b'});
}

class IdxErrors : public ::testing::Test {
 protected:
  std::string spec(const std::string& images, const std::string& labels) {
    return "idx:" + folder_.write("images", images) + "," + folder_.write("labels", labels);
  }
  TempFolder folder_;
  std::string images_ = idx_file({2, 1, 2}, "abcd");
  std::string labels_ = idx_file({2}, std::string("\x00\x01", 2));
};

TEST_F(IdxErrors, TheFixtureItselfIsRight) {
  EXPECT_TRUE(load_dataset(spec(images_, labels_)).ok());
}

TEST_F(IdxErrors, Magic) {
  expect_error(spec(testing::cifar_record(1), labels_), ErrorKind::kBadInput,
               {"images: magic number", "00000803"});
  std::string float_images = images_;
  float_images[2] = 0x0D;
  expect_error(spec(float_images, labels_), ErrorKind::kBadInput, {"magic number 00000d03"});
  expect_error(spec(images_, cifar_record(1)), ErrorKind::kBadInput,
               {"labels: magic number", "00000801"});
  expect_error(spec(idx_file({2, 4}, "abcdefgh"), labels_), ErrorKind::kBadInput, {"00000802"});
  expect_error(spec(labels_, images_), ErrorKind::kBadInput, {"is a file of labels"});
  expect_error(spec(images_, images_), ErrorKind::kBadInput, {"labels: is a file of images"});
}

TEST_F(IdxErrors, Dimensions) {
  expect_error(spec(idx_file({2, 0, 2}, ""), labels_), ErrorKind::kBadInput, {"0x2 pixels"});
  expect_error(spec(idx_file({2, 1, 100000}, "abcd"), labels_), ErrorKind::kBadInput,
               {"1x100000 pixels", "8192"});
  expect_error(spec(idx_file({2, 1, 1, 2}, "abcd"), labels_), ErrorKind::kBadInput, {"2 channels"});
  expect_error(spec(idx_file({0, 1, 2}, ""), labels_), ErrorKind::kBadInput,
               {"images: holds no image"});
  expect_error(spec(images_, idx_file({0}, "")), ErrorKind::kBadInput, {"labels: holds no label"});
  expect_error(spec(idx_file({0xFFFFFFFF, 8192, 8192}, "abcd"), labels_), ErrorKind::kBadInput,
               {"promises 4294967295 records"});
  // Their pixels would fit, and take a fraction of the memory.
  expect_error(spec(idx_file({1U << 28, 1, 1}, "abcd"), labels_), ErrorKind::kBadInput,
               {"promises 268435456 records of 1 bytes"});
  expect_error(spec(images_, idx_file({3}, "abc")), ErrorKind::kBadInput,
               {"3 labels for the 2 images"});
}

TEST_F(IdxErrors, Length) {
  for (const bool packed : {false, true}) {
    const auto stored = [&](const std::string& file) { return packed ? gzip(file) : file; };
    expect_error(spec(stored(""), labels_), ErrorKind::kBadInput, {"not an IDX file"});
    expect_error(spec(stored(images_.substr(0, 10)), labels_), ErrorKind::kBadInput,
                 {"header is cut short"});
    expect_error(spec(stored(images_.substr(0, 19)), labels_), ErrorKind::kBadInput,
                 {"image 1 of 2 is cut short"});
    expect_error(spec(stored(images_ + "x"), labels_), ErrorKind::kBadInput,
                 {"images: goes on after the 2 records"});
    expect_error(spec(images_, stored(labels_.substr(0, 9))), ErrorKind::kBadInput,
                 {"label 1 of 2 is cut short"});
  }
}

TEST_F(IdxErrors, DamagedGzip) {
  std::string noise(5000, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(i * i * 31 >> 4);
  const std::string packed = gzip(idx_file({2, 50, 50}, noise));
  ASSERT_TRUE(load_dataset(spec(packed, labels_)).ok());
  for (const std::size_t size : {2UL, 12UL, packed.size() / 2, packed.size() - 1}) {
    expect_error(spec(packed.substr(0, size), labels_), ErrorKind::kBadInput,
                 {"images: ", "gzip data ends early"});
  }
  std::string flipped = packed;
  flipped[packed.size() - 6] = static_cast<char>(flipped[packed.size() - 6] ^ 1);  // the checksum
  expect_error(spec(flipped, labels_), ErrorKind::kBadInput, {"images: damaged gzip data"});
  for (std::size_t at = 10; at < packed.size(); at += 97) {
    flipped = packed;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x55);
    const Result<Dataset> dataset = load_dataset(spec(flipped, labels_));
    ASSERT_FALSE(dataset.ok()) << at;
    EXPECT_EQ(dataset.error().kind, ErrorKind::kBadInput);
  }
  expect_error(spec(packed + "tail", labels_), ErrorKind::kBadInput, {"damaged gzip data"});
}

TEST_F(IdxErrors, AGzipBombIsNotUnpacked) {
  const std::string bomb = gzip(idx_file({2, 1, 2}, std::string(std::size_t{64} << 20, '\0')));
  expect_error(spec(bomb, labels_), ErrorKind::kBadInput, {"goes on after the 2 records"});
}

TEST(Folder, ReadsClassesAndFilesInByteOrder) {
  const TempFolder folder;
  const Image grey = noise_image(3, 5, 1);
  const Image colour = noise_image(4, 2, 3);
  const std::string cat_a = png_file(colour);
  const std::string cat_b = png_file(grey);
  const std::string zebra = png_file(noise_image(2, 2, 3, 7));
  (void)folder.write("set/cat/b.png", cat_b);
  (void)folder.write("set/cat/a.PNG", cat_a);
  (void)folder.write("set/Zebra/1.png", zebra);
  (void)folder.write("set/cat/.hidden", "not an image");
  (void)folder.write("set/.cache/x", "not a class");
  (void)folder.write("set/README.md", "not a class");
  const Result<Dataset> dataset = load_dataset("folder:" + (folder.path() / "set").string());
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_THAT(dataset->class_names, ElementsAre("Zebra", "cat"));
  EXPECT_EQ(dataset->classes, 2);
  EXPECT_THAT(dataset->labels, ElementsAre(0, 1, 1));
  EXPECT_EQ(dataset->images[1], colour);
  EXPECT_EQ(dataset->images[2], grey);
  EXPECT_EQ(dataset->sha256, sha256_hex(sha256_hex(zebra) + "  Zebra/1.png\n" + sha256_hex(cat_a) +
                                        "  cat/a.PNG\n" + sha256_hex(cat_b) + "  cat/b.png\n"));
}

TEST(Folder, DropsAlpha) {
  const TempFolder folder;
  (void)folder.write("a/grey.png", png_file(1, 2, 2, {10, 255, 20, 0}));
  (void)folder.write("a/rgba.png", png_file(1, 2, 4, {1, 2, 3, 255, 4, 5, 6, 0}));
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->images[0], (Image{1, 2, 1, {10, 20}}));
  EXPECT_EQ(dataset->images[1], (Image{1, 2, 3, {1, 2, 3, 4, 5, 6}}));
}

TEST(Folder, ReadsJpeg) {
  const TempFolder folder;
  Image gradient{16, 24, 3, {}};
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 24; ++x) {
      gradient.pixels.insert(gradient.pixels.end(),
                             {static_cast<std::uint8_t>(x * 8), static_cast<std::uint8_t>(y * 12),
                              static_cast<std::uint8_t>(x * 2 + y * 3)});
    }
  }
  (void)folder.write("a/x.jpg", jpeg_file(gradient, 95));
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  const Image& image = dataset->images[0];
  ASSERT_EQ(image.pixels.size(), gradient.pixels.size());
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    ASSERT_NEAR(image.pixels[i], gradient.pixels[i], 16) << i;
  }
}

TEST(Folder, ReadsJpegWithSomethingBehindIt) {
  const TempFolder folder;
  const Image image = noise_image(20, 30, 3);
  (void)folder.write("a/1.jpg", jpeg_file(image, 90));
  (void)folder.write("a/2.jpg", jpeg_file(image, 90) + std::string("\0\xff\xda\xff\xc4\0", 6));
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_TRUE(dataset.ok()) << dataset.error().message();
  EXPECT_EQ(dataset->images[0], dataset->images[1]);
}

TEST(Folder, RefusesJpegTablesOfImpossibleSize) {
  const std::string jpeg = jpeg_file(noise_image(20, 30, 3), 90);
  const std::size_t tables = jpeg.find("\xff\xc4");
  ASSERT_NE(tables, std::string::npos);
  // The numbers of codes of each length follow marker, segment length and table number.
  for (std::size_t i = 0; i < 16; ++i) {
    const TempFolder folder;
    std::string damaged = jpeg;
    damaged[tables + 5 + i] = '\xff';
    damaged[tables + 5 + (i + 1) % 16] = '\xff';
    (void)folder.write("a/x.jpg", damaged);
    expect_error("folder:" + folder.path().string(), ErrorKind::kBadInput,
                 {"x.jpg", "is damaged near byte"});
  }
}

TEST(Folder, RefusesAFolderWithoutClasses) {
  const TempFolder folder;
  expect_error("folder:" + folder.path().string(), ErrorKind::kBadInput, {"has no class"});
  const std::string file = folder.write("x.png", png_file(noise_image(2, 2, 3)));
  expect_error("folder:" + folder.path().string(), ErrorKind::kBadInput, {"has no class"});
  expect_error("folder:" + file, ErrorKind::kBadInput, {"not a folder"});
}

TEST(Folder, ReportsEveryBadImageAtOnce) {
  const TempFolder folder;
  const std::string png = png_file(noise_image(20, 20, 3));
  (void)folder.write("a/good.png", png);
  (void)folder.write("a/cut.png", std::string_view(png).substr(0, png.size() / 2));
  (void)folder.write("a/notes.txt", "hello");
  const std::string jpeg = jpeg_file(noise_image(40, 40, 3), 90);
  (void)folder.write("b/cut.jpg", std::string_view(jpeg).substr(0, jpeg.size() / 2));
  (void)folder.write("b/head.jpg", "\xff\xd8\xff\xd9");
  (void)folder.write("c/nested/x.png", png);
  std::filesystem::create_directory(folder.path() / "d");
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_FALSE(dataset.ok());
  EXPECT_EQ(dataset.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(dataset.error().diagnostics,
              ElementsAre(AllOf(HasSubstr("cut.png"), HasSubstr("cannot be decoded")),
                          AllOf(HasSubstr("notes.txt"), HasSubstr("neither PNG nor JPEG")),
                          AllOf(HasSubstr("cut.jpg"), HasSubstr("is cut short")),
                          AllOf(HasSubstr("head.jpg"), HasSubstr("header that is damaged")),
                          AllOf(HasSubstr("nested"), HasSubstr("folder inside a class")),
                          AllOf(HasSubstr("class 3 'd'"), HasSubstr("no image"))));
}

TEST(Folder, StopsAfterSomeBadImages) {
  const TempFolder folder;
  for (int i = 0; i < 100; ++i) (void)folder.write("a/" + std::to_string(i) + ".png", "x");
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().diagnostics, SizeIs(20));
}

TEST(Folder, RefusesAnAbsurdImageSize) {
  const TempFolder folder;
  // PNG headers that promise 9000 x 9000 and 100000 x 100000 pixels.
  const std::string png = png_file(noise_image(1, 1, 3));
  std::string big = png;
  big.replace(16, 8, std::string("\x00\x00\x23\x28\x00\x00\x23\x28", 8));
  std::string huge = png;
  huge.replace(16, 8, std::string("\x00\x01\x86\xa0\x00\x01\x86\xa0", 8));
  (void)folder.write("a/big.png", big);
  (void)folder.write("a/huge.png", huge);
  (void)folder.write("b/wide.png", png_file(Image{1, 8193, 1, std::vector<std::uint8_t>(8193)}));
  const Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().diagnostics,
              ElementsAre(AllOf(HasSubstr("big.png"), HasSubstr("9000x9000")),
                          AllOf(HasSubstr("huge.png"), HasSubstr("promises too many pixels")),
                          AllOf(HasSubstr("wide.png"), HasSubstr("8193x1 "))));
}

TEST(SpecFiles, AreFilesAndNotNamesInsideThem) {
  using Files = std::vector<std::filesystem::path>;
  EXPECT_EQ(spec_files("cifar10:/a/b.bin,c.bin"), (Files{"/a/b.bin", "c.bin"}));
  EXPECT_EQ(spec_files("idx:images,labels"), (Files{"images", "labels"}));
  EXPECT_EQ(spec_files("folder:cats, dogs"), Files{"cats, dogs"});
  EXPECT_EQ(spec_files("npz:set.npz,X,Y"), Files{"set.npz"});
  EXPECT_EQ(spec_files("csv:set.csv,species"), Files{"set.csv"});
  EXPECT_EQ(spec_files("made up"), Files{});
  EXPECT_EQ(spec_in("npz:set.npz,X,Y", "/data"), "npz:/data/set.npz,X,Y");
  EXPECT_EQ(spec_in("csv:../set.csv,species", "/data/x"), "csv:/data/set.csv,species");
  EXPECT_EQ(spec_in("cifar10:/a/b.bin,c.bin", "/data"), "cifar10:/a/b.bin,/data/c.bin");
  EXPECT_EQ(spec_in("folder:cats, dogs", "/data"), "folder:/data/cats, dogs");
  EXPECT_EQ(spec_in("made up", "/data"), "made up");
}

TEST(PortableSpec, LeavesFoldersOut) {
  EXPECT_EQ(portable_spec("cifar10:/data/cifar/a.bin,b.bin,../c.bin"), "cifar10:a.bin,b.bin,c.bin");
  EXPECT_EQ(portable_spec("idx:x/images.gz,y/labels.gz"), "idx:images.gz,labels.gz");
  EXPECT_EQ(portable_spec("folder:/data/flowers"), "folder:flowers");
  EXPECT_EQ(portable_spec("folder:flowers/"), "folder:flowers");
  EXPECT_EQ(portable_spec("folder:a/flowers/./x/.."), "folder:flowers");
  EXPECT_EQ(portable_spec("folder:."),
            "folder:" + std::filesystem::current_path().filename().string());
  EXPECT_EQ(portable_spec("made up"), "made up");
}

TEST(DatasetIdentity, DoesNotDependOnThePlace) {
  const TempFolder folder;
  const std::string content = cifar_record(3) + cifar_record(4);
  const Dataset a = *load_dataset("cifar10:" + folder.write("x/set.bin", content));
  const Dataset b = *load_dataset("cifar10:" + folder.write("y/z/set.bin", content));
  EXPECT_EQ(identity_json(a), identity_json(b));
  const Json expected = {{"spec", "cifar10:set.bin"},
                         {"sha256", sha256_hex(content)},
                         {"count", 2},
                         {"classes", 10},
                         {"class_names", a.class_names},
                         {"selections", Json::array()}};
  EXPECT_EQ(identity_json(a), expected);
}

TEST(DatasetIdentity, SurvivesFileNamesThatAreNotUtf8) {
  Dataset dataset;
  dataset.spec = "folder:caf\xe9";
  EXPECT_EQ(identity_json(dataset)["spec"], "folder:caf\xef\xbf\xbd");
  EXPECT_NO_THROW((void)identity_json(dataset).dump());
}

}  // namespace
}  // namespace espalier::data
