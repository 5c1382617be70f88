// Folders of pictures as they are read: turned upright, only those that were chosen, and reduced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/data_files.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/data/subset.hpp"
#include "support/temp_folder.hpp"

namespace espalier::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::jpeg_file;
using testing::noise_image;
using testing::png_file;
using testing::TempFolder;

constexpr int kBlock = 16;  // large enough for JPEG to leave the middle alone

std::string number(std::uint32_t value, int bytes, bool big) {
  std::string text;
  for (int i = 0; i < bytes; ++i) {
    text += static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i)));
  }
  return text;
}

// What EXIF says, the orientation by its second entry.
std::string exif(std::uint32_t orientation, bool big, std::uint32_t type = 3) {
  const auto entry = [&](std::uint32_t tag, std::uint32_t value) {
    return number(tag, 2, big) + number(type, 2, big) + number(1, 4, big) + number(value, 2, big) +
           number(0, 2, big);
  };
  return std::string(big ? "MM" : "II") + number(42, 2, big) + number(8, 4, big) +
         number(2, 2, big) + entry(0x0100, 7) + entry(0x0112, orientation) + number(0, 4, big);
}

// The JPEG file with an EXIF segment in front.
std::string with_orientation(const std::string& jpeg, std::uint32_t orientation, bool big,
                             std::uint32_t type = 3) {
  const std::string segment = std::string("Exif\0\0", 6) + exif(orientation, big, type);
  return jpeg.substr(0, 2) + "\xff\xe1" +
         number(static_cast<std::uint32_t>(segment.size()) + 2, 2, true) + segment + jpeg.substr(2);
}

// The PNG file with an EXIF chunk in front of the pixels, or behind them.
std::string png_with(const std::string& png, const std::string& exif, bool behind) {
  const std::size_t header_end = 8 + 12 + 13;
  const std::size_t at = behind ? png.size() - 12 : header_end;
  const std::string chunk = number(static_cast<std::uint32_t>(exif.size()), 4, true) + "eXIf" +
                            exif + number(0, 4, true);  // the decoder checks no checksum
  return png.substr(0, at) + chunk + png.substr(at);
}

// Blocks of grey: two rows of three.
Image blocks() {
  Image image{2 * kBlock, 3 * kBlock, 1, {}};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      image.pixels.push_back(static_cast<std::uint8_t>(40 * (y / kBlock * 3 + x / kBlock)));
    }
  }
  return image;
}

// The blocks of an image in reading order, by their middle; row by row.
std::vector<std::vector<int>> read_blocks(const Image& image) {
  std::vector<std::vector<int>> rows;
  for (int y = kBlock / 2; y < image.height; y += kBlock) {
    rows.emplace_back();
    for (int x = kBlock / 2; x < image.width; x += kBlock) {
      const int value = image.pixels[static_cast<std::size_t>(y * image.width + x) *
                                     static_cast<std::size_t>(image.channels)];
      rows.back().push_back((value + 20) / 40);
    }
  }
  return rows;
}

Image decoded(const std::string& file) {
  const TempFolder folder;
  (void)folder.write("a/x.jpg", file);
  Result<Dataset> dataset = load_dataset("folder:" + folder.path().string());
  EXPECT_TRUE(dataset.ok()) << dataset.error().message();
  return dataset->images.front();
}

// EXIF defines an orientation by the sides at which the stored row 0 and column 0 are seen.
TEST(Exif, EveryOrientationIsTurnedUpright) {
  const std::string jpeg = jpeg_file(blocks(), 95);
  const std::string png = png_file(blocks());
  const std::vector<std::vector<std::vector<int>>> seen{
      {{0, 1, 2}, {3, 4, 5}},    // 1: row 0 on top, column 0 left
      {{2, 1, 0}, {5, 4, 3}},    // 2: top, right
      {{5, 4, 3}, {2, 1, 0}},    // 3: bottom, right
      {{3, 4, 5}, {0, 1, 2}},    // 4: bottom, left
      {{0, 3}, {1, 4}, {2, 5}},  // 5: row 0 left, column 0 on top
      {{3, 0}, {4, 1}, {5, 2}},  // 6: right, top
      {{5, 2}, {4, 1}, {3, 0}},  // 7: right, bottom
      {{2, 5}, {1, 4}, {0, 3}},  // 8: left, bottom
  };
  for (std::uint32_t orientation = 1; orientation <= 8; ++orientation) {
    for (const bool big : {false, true}) {
      EXPECT_EQ(read_blocks(decoded(with_orientation(jpeg, orientation, big))),
                seen[orientation - 1])
          << orientation;
      for (const bool behind : {false, true}) {
        EXPECT_EQ(read_blocks(decoded(png_with(png, exif(orientation, big), behind))),
                  seen[orientation - 1])
            << orientation;
      }
    }
  }
}

TEST(Exif, ColourIsTurnedToo) {
  Image image{kBlock, 2 * kBlock, 3, {}};
  for (int i = 0; i < kBlock * 2 * kBlock; ++i) {
    const bool left = i % (2 * kBlock) < kBlock;
    image.pixels.insert(image.pixels.end(), {static_cast<std::uint8_t>(left ? 220 : 20), 60,
                                             static_cast<std::uint8_t>(left ? 20 : 220)});
  }
  const Image turned = decoded(with_orientation(jpeg_file(image, 95), 3, true));
  ASSERT_EQ(turned.width, 2 * kBlock);
  EXPECT_NEAR(turned.pixels[0], 20, 16);
  EXPECT_NEAR(turned.pixels[2], 220, 16);
}

TEST(Exif, WhatMakesNoSenseLeavesTheImageAsStored) {
  const std::string jpeg = jpeg_file(blocks(), 95);
  const auto stored = read_blocks(blocks());
  for (const std::uint32_t orientation : {0U, 9U, 65535U}) {
    EXPECT_EQ(read_blocks(decoded(with_orientation(jpeg, orientation, true))), stored);
  }
  EXPECT_EQ(read_blocks(decoded(with_orientation(jpeg, 6, true, 2))), stored);
  const std::string said = exif(6, true);
  for (std::size_t length = 0; length < said.size(); ++length) {
    const Image image = decoded(png_with(png_file(blocks()), said.substr(0, length), true));
    EXPECT_EQ(image.height * image.width, 6 * kBlock * kBlock) << length;
  }
  // Every byte of the segment damaged, and the segment cut at every place.
  const std::string good = with_orientation(jpeg, 6, false);
  const std::size_t first = 6;
  const std::size_t size = good.size() - jpeg.size() - 4;
  for (std::size_t i = 0; i < size; ++i) {
    std::string damaged = good;
    damaged[first + i] = static_cast<char>(~damaged[first + i]);
    const Image image = decoded(damaged);
    EXPECT_EQ(image.height * image.width, 6 * kBlock * kBlock) << i;
    std::string cut = good.substr(0, first + i) + good.substr(first + size);
    cut[4] = static_cast<char>((i + 2) >> 8);
    cut[5] = static_cast<char>(i + 2);
    const Image shorter = decoded(cut);
    EXPECT_EQ(shorter.height * shorter.width, 6 * kBlock * kBlock) << i;
  }
}

// A decoder that believes it would take a gigabyte.
TEST(Decode, AChunkThatPromisesMoreThanTheFileHas) {
  const TempFolder folder;
  std::string png = png_file(noise_image(9, 7, 3));
  const std::size_t at = png.find("IDAT");
  ASSERT_NE(at, std::string::npos);
  png[at - 4] = '\x3f';
  static_cast<void>(folder.write("set/a/0.png", png));
  const Result<Dataset> dataset = load_dataset("folder:" + (folder.path() / "set").string());
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().message(), HasSubstr("promises more than the file has"));
}

// A PNG file of one row whose pixels name colours of a palette.
std::string palette_file(const std::string& colours, const std::string& pixels) {
  const auto chunk = [](const std::string& type, const std::string& content) {
    return number(static_cast<std::uint32_t>(content.size()), 4, true) + type + content +
           number(0, 4, true);  // the decoder checks no checksum
  };
  const std::string row = '\0' + pixels;
  const auto size = static_cast<std::uint32_t>(row.size());
  const std::string stored = std::string("\x78\x01\x01", 3) + number(size, 2, false) +
                             number(~size, 2, false) + row + number(0, 4, true);
  const std::string header =
      number(size - 1, 4, true) + number(1, 4, true) + std::string("\x08\x03\0\0\0", 5);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("PLTE", colours) +
         chunk("IDAT", stored) + chunk("IEND", "");
}

// What the decoder takes for such a colour is what the file before had there.
TEST(Decode, AColourBeyondThePaletteIsBlack) {
  const std::string pixels("\0\x05\x01", 3);
  EXPECT_THAT(decoded(palette_file(std::string(3 * 256, 'x'), pixels)).pixels,
              ::testing::Each('x'));
  EXPECT_THAT(decoded(palette_file("abcdef", pixels)).pixels,
              ElementsAre('a', 'b', 'c', 0, 0, 0, 'd', 'e', 'f'));
  // What follows the end of a picture is no part of it.
  const Image grey = noise_image(4, 4, 1);
  EXPECT_EQ(decoded(png_file(grey) + std::string("\0\0\0\x09PLTE", 8)).pixels, grey.pixels);
}

// The decoder makes a picture of whatever memory held.
TEST(Decode, AJpegFileWithoutAScanOfEachComponent) {
  const TempFolder folder;
  const std::string jpeg = jpeg_file(noise_image(16, 16, 3), 90);
  const std::size_t scan = jpeg.find("\xff\xda");
  ASSERT_NE(scan, std::string::npos);
  const std::string spec = "folder:" + (folder.path() / "set").string();
  static_cast<void>(folder.write("set/a/0.jpg", jpeg));
  EXPECT_TRUE(open_dataset(spec).ok());
  // Of three components that the scan names, the first alone.
  const std::string first = jpeg.substr(0, scan) + std::string("\xff\xda\0\x08\x01", 5) +
                            jpeg.substr(scan + 5, 2) + std::string("\0\x3f\0", 3) +
                            jpeg.substr(scan + 14);
  for (const std::string& damaged : {jpeg.substr(0, scan) + "\xff\xd9", first}) {
    static_cast<void>(folder.write("set/a/0.jpg", damaged));
    const Result<Dataset> dataset = open_dataset(spec);
    ASSERT_FALSE(dataset.ok());
    EXPECT_THAT(dataset.error().message(), HasSubstr("0.jpg: is cut short"));
  }
}

TEST(Decode, ReadsChosenPicturesAlone) {
  const TempFolder folder;
  const Image image = noise_image(20, 20, 3);
  const std::string png = png_file(image);
  (void)folder.write("a/1.png", png);
  (void)folder.write("b/1.png", png);
  // A header in order and pixels that are not.
  (void)folder.write("c/damaged.png", std::string_view(png).substr(0, png.size() / 2));
  const std::string spec = "folder:" + folder.path().string();
  const InputPipeline pipeline = *make_pipeline({}, 20, 20, 3, 2.0F / 255, 0);
  EXPECT_FALSE(load_dataset(spec).ok());
  const Dataset listed = *open_dataset(spec);
  EXPECT_EQ(listed.size(), 3);
  EXPECT_TRUE(listed.images[0].pixels.empty());
  const Result<Dataset> all = decode(listed, pipeline);
  ASSERT_FALSE(all.ok());
  EXPECT_THAT(all.error().diagnostics, ElementsAre(HasSubstr("damaged.png: cannot be decoded")));
  const Result<Dataset> chosen = decode(*subset(listed, {.classes = {1, 0}}), pipeline);
  ASSERT_TRUE(chosen.ok()) << chosen.error().message();
  EXPECT_THAT(chosen->images, ElementsAre(image, image));
  EXPECT_EQ(chosen->sha256, listed.sha256);
}

// Whatever the recipe and the pictures: fitted as they are read or later, they give one input.
TEST(Decode, ReducingAsTheyAreReadChangesNoByte) {
  const TempFolder folder;
  int files = 0;
  for (const int channels : {1, 3}) {
    for (const auto& [height, width] : {std::pair{8, 8}, {5, 40}, {64, 31}, {33, 90}, {12, 9}}) {
      ++files;
      (void)folder.write(
          "a/" + std::to_string(files) + ".png",
          png_file(noise_image(height, width, channels, static_cast<std::uint32_t>(files))));
    }
  }
  const std::string spec = "folder:" + folder.path().string();
  for (const char* recipe :
       {"auto", "identity", "resize=12,crop=8", "resize=100,crop=8", "mean=0.4,std=0.3"}) {
    for (const int channels : {1, 3}) {
      SCOPED_TRACE(std::string(recipe) + " " + std::to_string(channels));
      const InputPipeline pipeline =
          *make_pipeline(*parse_preprocess(recipe), 8, 8, channels, 2.0F / 255, 0);
      const Samples later(*load_dataset(spec), pipeline);
      const Samples at_once(*decode(*open_dataset(spec), pipeline), pipeline);
      EXPECT_EQ(later.identity(), at_once.identity());
      std::vector<std::int8_t> a(later.elements());
      std::vector<std::int8_t> b(later.elements());
      for (std::int64_t i = 0; i < later.size(); ++i) {
        ASSERT_TRUE(later.input(i, a).ok());
        ASSERT_TRUE(at_once.input(i, b).ok());
        EXPECT_EQ(a, b) << i;
        // No more is kept than the smaller of the two.
        const Image& kept = at_once.dataset().images[static_cast<std::size_t>(i)];
        EXPECT_LE(kept.pixels.size(),
                  later.dataset().images[static_cast<std::size_t>(i)].pixels.size());
        EXPECT_LE(kept.pixels.size(), 3U * 64);
      }
    }
  }
}

TEST(Decode, NamesPicturesThatDoNotFit) {
  const TempFolder folder;
  (void)folder.write("a/fits.png", png_file(noise_image(8, 8, 1)));
  (void)folder.write("a/low.png", png_file(noise_image(4, 8, 1)));
  (void)folder.write("a/thin.png", png_file(noise_image(8, 4, 1)));
  const InputPipeline pipeline = *make_pipeline(*parse_preprocess("crop=8"), 8, 8, 1, 1.0F, 0);
  const auto dataset = decode(*open_dataset("folder:" + folder.path().string()), pipeline);
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().diagnostics, ElementsAre(HasSubstr("low.png: a picture of 4x8"),
                                                       HasSubstr("thin.png: a picture of 8x4")));
}

}  // namespace
}  // namespace espalier::data
