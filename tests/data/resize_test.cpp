#include "espalier/data/resize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "data/data_files.hpp"
#include "espalier/support/file.hpp"

namespace espalier::data {
namespace {

using ::testing::ElementsAre;
using testing::noise_image;

std::string digest(const Image& image) {
  return sha256_hex({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()})
      .substr(0, 16);
}

// What Pillow 9.4 makes of noise_image(height, width, channels): `resized` is the SHA-256 of
// Image.resize((to_width, to_height), BILINEAR), `grey` that of Image.convert('L').
struct PillowCase {
  int height, width, channels, to_height, to_width;
  const char* resized;
  const char* grey;
};
const PillowCase kPillow[] = {
    {32, 32, 3, 147, 147, "7d90f25b75206eb5", "53edc393ecb5b2d5"},
    {28, 28, 1, 32, 32, "880fffb1021ddff7", "2213180f2583fada"},
    {28, 28, 3, 28, 40, "905ffd25fb23c371", "1d7f83116ded9e5d"},
    {60, 80, 3, 37, 49, "85c86a3818effb42", "11061f93a6237da8"},
    {53, 47, 1, 16, 96, "8910e6afe592d613", "f1e2ef180380ab70"},
    {37, 91, 3, 5, 200, "180c9568596fc07a", "6a4304da917c4d31"},
    {9, 4, 3, 1, 1, "e3330ce8d045208c", "7fca31ace4206165"},
    {1, 1, 3, 6, 5, "85faa1b375859426", "83891d7fe85c33e5"},
    {200, 3, 3, 7, 150, "60a98ccf880c42a2", "6e8478beabcc6004"},
    {64, 64, 3, 33, 64, "ceeacf77044fc115", "57152843812c07bc"},
};

TEST(ResizeBilinear, EqualsPillow) {
  for (const PillowCase& p : kPillow) {
    const Image resized =
        resize_bilinear(noise_image(p.height, p.width, p.channels), p.to_height, p.to_width);
    EXPECT_EQ(resized.height, p.to_height);
    EXPECT_EQ(resized.width, p.to_width);
    EXPECT_EQ(digest(resized), p.resized) << p.height << "x" << p.width << "x" << p.channels
                                          << " to " << p.to_height << "x" << p.to_width;
  }
}

TEST(ToGrey, EqualsPillow) {
  for (const PillowCase& p : kPillow) {
    const Image grey = to_grey(noise_image(p.height, p.width, p.channels));
    EXPECT_EQ(grey.channels, 1);
    EXPECT_EQ(digest(grey), p.grey);
  }
}

TEST(ResizeBilinear, InterpolatesAndAverages) {
  const Image row{1, 2, 1, {0, 100}};
  EXPECT_THAT(resize_bilinear(row, 1, 4).pixels, ElementsAre(0, 25, 75, 100));
  EXPECT_THAT(resize_bilinear(row, 2, 2).pixels, ElementsAre(0, 100, 0, 100));
  EXPECT_THAT(resize_bilinear(row, 1, 1).pixels, ElementsAre(50));
}

TEST(ResizeBilinear, KeepsAFlatImageFlat) {
  const Image flat{7, 5, 3, std::vector<std::uint8_t>(7 * 5 * 3, 255)};
  for (const int side : {1, 2, 3, 50, 147}) {
    EXPECT_THAT(resize_bilinear(flat, side, side + 1).pixels, ::testing::Each(255));
  }
}

TEST(CentreCrop, HalvesAnOddRemainderToTheEvenNumber) {
  Image image{9, 12, 1, {}};
  for (int i = 0; i < 9 * 12; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i));
  // 7 rows too many: 3.5 rounds to 4. 9 columns too many: 4.5 rounds to 4.
  EXPECT_EQ(centre_crop(image, 2, 3), (Image{2, 3, 1, {52, 53, 54, 64, 65, 66}}));
  // 1 and 3 too many: 0.5 rounds to 0 and 1.5 to 2.
  EXPECT_EQ(centre_crop(image, 8, 9).pixels.front(), 2);
  EXPECT_EQ(centre_crop(image, 9, 12), image);
}

TEST(CentreCrop, KeepsChannelsTogether) {
  const Image image{1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  EXPECT_EQ(centre_crop(image, 1, 1), (Image{1, 1, 3, {4, 5, 6}}));
}

}  // namespace
}  // namespace espalier::data
