#include "espalier/data/preprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "data/data_files.hpp"
#include "espalier/data/resize.hpp"
#include "support/temp_folder.hpp"
#include "testing/npy.hpp"

namespace espalier::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::noise_image;
using ::testing::SizeIs;
using testing::TempFolder;

using Mapping = Preprocess::Mapping;

std::array<std::int8_t, 256> descending_table() {
  std::array<std::int8_t, 256> table{};
  for (int p = 0; p < 256; ++p)
    table[static_cast<std::size_t>(p)] = static_cast<std::int8_t>(127 - p);
  return table;
}

std::string table_text(const std::array<std::int8_t, 256>& table) {
  std::string text;
  for (const std::int8_t value : table) text += std::to_string(value) + "\n";
  return text;
}

// The int8 value each pixel value becomes in channel `c`.
std::vector<int> mapping_of(const InputPipeline& pipeline, int c = 0) {
  const int channels = pipeline.channels();
  std::vector<int> values;
  for (int p = 0; p < 256; ++p) {
    const Image pixel{1, 1, channels,
                      std::vector<std::uint8_t>(static_cast<std::size_t>(channels),
                                                static_cast<std::uint8_t>(p))};
    std::vector<std::int8_t> out(static_cast<std::size_t>(channels));
    EXPECT_TRUE(pipeline.to_input(pixel, out).ok());
    values.push_back(out[static_cast<std::size_t>(c)]);
  }
  return values;
}

std::vector<int> minus_128() {
  std::vector<int> values;
  for (int p = 0; p < 256; ++p) values.push_back(p - 128);
  return values;
}

InputPipeline pipeline_of(const char* spec, int height, int width, int channels) {
  Result<InputPipeline> pipeline =
      make_pipeline(*parse_preprocess(spec), height, width, channels, 2.0F / 255.0F, 0);
  EXPECT_TRUE(pipeline.ok()) << pipeline.error().message();
  return *std::move(pipeline);
}

InputPipeline pipeline_of(const char* spec, float scale) {
  return *make_pipeline(*parse_preprocess(spec), 1, 1, 1, scale, 0);
}

TEST(ParsePreprocess, ReadsEveryItem) {
  for (const char* text : {"", "auto"}) EXPECT_EQ(*parse_preprocess(text), Preprocess{});
  const Preprocess geometry = *parse_preprocess("resize=147,crop=128");
  EXPECT_EQ(geometry.resize, 147);
  EXPECT_EQ(geometry.crop, 128);
  EXPECT_EQ(geometry.mapping(), Mapping::kAuto);
  EXPECT_EQ(parse_preprocess("identity")->mapping(), Mapping::kIdentity);
  EXPECT_EQ(*parse_preprocess("auto,identity"), *parse_preprocess("identity"));
  const Preprocess normal = *parse_preprocess("mean=0.485:0.456:0.406,std=0.229:0.224:0.225");
  EXPECT_EQ(normal.mapping(), Mapping::kNormalize);
  EXPECT_THAT(normal.mean, ElementsAre(0.485F, 0.456F, 0.406F));
  EXPECT_THAT(normal.std, ElementsAre(0.229F, 0.224F, 0.225F));
  EXPECT_THAT(parse_preprocess("std=0.5,mean=-1e-3")->mean, ElementsAre(-0.001F));
}

TEST(ParsePreprocess, ReadsATable) {
  const TempFolder folder;
  const std::string path = folder.write("lut=1.txt", table_text(descending_table()));
  const Result<Preprocess> p = parse_preprocess("resize=147,crop=128,lut=" + path);
  ASSERT_TRUE(p.ok()) << p.error().message();
  EXPECT_EQ(p->mapping(), Mapping::kLut);
  EXPECT_EQ(p->lut, descending_table());
  std::string windows;
  for (const std::int8_t value : descending_table()) windows += std::to_string(value) + " \r\n";
  EXPECT_EQ(parse_preprocess("lut=" + folder.write("crlf.txt", windows))->lut, descending_table());
}

TEST(ParsePreprocess, RefusesABadTable) {
  const TempFolder folder;
  const std::string good = table_text(descending_table());
  const auto expect = [&](const std::string& content, const char* text) {
    const Result<Preprocess> p = parse_preprocess("lut=" + folder.write("t.txt", content));
    ASSERT_FALSE(p.ok()) << text;
    EXPECT_EQ(p.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(p.error().message(), HasSubstr("t.txt"));
    EXPECT_THAT(p.error().message(), HasSubstr(text));
  };
  expect("", "0 numbers");
  expect(good.substr(0, good.size() - 5), "255 numbers");
  expect(good + "1\n", "257 numbers");
  expect("1\n2\n128\n", "t.txt:3: '128'");
  expect("1\ntwo\n", "t.txt:2: 'two'");
  expect("1.5\n", "t.txt:1: '1.5'");
  expect(std::string(1 << 20, '1'), "limit");
  const Result<Preprocess> none = parse_preprocess("lut=" + (folder.path() / "none").string());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kMissingInput);
}

TEST(ParsePreprocess, RefusesWhatItDoesNotUnderstand) {
  const std::pair<const char*, const char*> cases[] = {
      {"size=128", "'size=128' is not known; use auto"},
      {"resize", "'resize' is not known"},
      {"auto=1", "not known"},
      {"identity,", "'' is not known"},
      {"resize=0", "resize must be a number from 1 to 8192"},
      {"resize=-3", "resize must be"},
      {"resize=12x", "resize must be"},
      {"crop=9999999999", "crop must be"},
      {"crop=10,crop=10", "'crop' is given twice"},
      {"resize=100,crop=128", "crop 128 is larger than resize 100"},
      {"auto,crop=128", "auto chooses"},
      {"mean=0.5", "mean has 1 values and std 0"},
      {"std=0.5", "mean has 0 values and std 1"},
      {"mean=0.5:0.5,std=0.5:0.5", "mean has 2 values"},
      {"mean=0.5,std=0.5:0.5:0.5", "mean has 1 values and std 3"},
      {"mean=a,std=1", "mean must be numbers"},
      {"mean=0.5:,std=1", "mean must be numbers"},
      {"mean=0,std=0", "std finite and above 0"},
      {"mean=0,std=-1", "std finite and above 0"},
      {"mean=nan,std=1", "mean must be finite"},
      {"mean=0,std=inf", "std finite and above 0"},
      {"identity,mean=0,std=1", "exclude each other"},
  };
  for (const auto& [spec, text] : cases) {
    const Result<Preprocess> p = parse_preprocess(spec);
    ASSERT_FALSE(p.ok()) << spec;
    EXPECT_EQ(p.error().kind, ErrorKind::kUsage) << spec;
    EXPECT_THAT(p.error().message(), HasSubstr(text)) << spec;
    EXPECT_THAT(p.error().message(), HasSubstr(spec));
  }
}

TEST(PreprocessText, IsCanonical) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "auto"},
      {"auto,identity", "identity"},
      {"crop=128,resize=147", "resize=147,crop=128"},
      {"std=0.2290:0.224:0.225,mean=0.485:0.4560:.406,crop=96",
       "crop=96,mean=0.485:0.456:0.406,std=0.229:0.224:0.225"},
  };
  for (const auto& [spec, text] : cases) {
    EXPECT_EQ(to_string(*parse_preprocess(spec)), text);
    EXPECT_EQ(*parse_preprocess(text), *parse_preprocess(spec));
  }
  Preprocess p;
  p.lut = descending_table();
  const std::string first = to_string(p);
  EXPECT_THAT(first, ::testing::MatchesRegex("lut=sha256:[0-9a-f]{12}"));
  (*p.lut)[200] = 0;
  EXPECT_NE(to_string(p), first);
}

TEST(PreprocessJson, ReadsWhatItWrote) {
  std::vector<Preprocess> all;
  for (const char* spec : {"", "identity", "resize=147,crop=128", "crop=32,identity",
                           "mean=0.485:0.456:0.406,std=0.229:0.224:0.225",
                           "mean=0.1,std=3.4028234e38", "mean=1e-45,std=1e-40"}) {
    all.push_back(*parse_preprocess(spec));
  }
  all.emplace_back().lut = descending_table();
  for (const Preprocess& p : all) {
    const Json json = *parse_json(to_json(p).dump(), "text");
    const Result<Preprocess> again = preprocess_from_json(json, "recipe");
    ASSERT_TRUE(again.ok()) << again.error().message();
    EXPECT_EQ(*again, p) << json.dump();
  }
  EXPECT_THAT(to_json(all[4]).dump(), HasSubstr("[0.485,0.456,0.406]"));
}

TEST(PreprocessJson, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "'resize'"},
      {R"({"resize":0,"crop":0})", "'mapping'"},
      {R"({"resize":"a","crop":0,"mapping":"auto"})", "'resize'"},
      {R"({"resize":-1,"crop":0,"mapping":"auto"})", "resize -1"},
      {R"({"resize":0,"crop":9000,"mapping":"auto"})", "crop 9000"},
      {R"({"resize":0,"crop":0,"mapping":"cube"})", "'cube'"},
      {R"({"resize":0,"crop":0,"mapping":"lut"})", "'lut'"},
      {R"({"resize":0,"crop":0,"mapping":"lut","lut":[1,2]})", "256 integers"},
      {R"({"resize":0,"crop":0,"mapping":"normalize","mean":[0]})", "'std'"},
      {R"({"resize":0,"crop":0,"mapping":"normalize","mean":[0],"std":["x"]})", "'std'"},
      {R"({"resize":0,"crop":0,"mapping":"normalize","mean":0,"std":1})", "'mean'"},
      {R"({"resize":0,"crop":0,"mapping":"normalize","mean":[],"std":[]})", "empty"},
      {R"({"resize":0,"crop":0,"mapping":"normalize","mean":[0],"std":[0]})", "above 0"},
  };
  for (const auto& [text, part] : cases) {
    const Result<Preprocess> p = preprocess_from_json(*parse_json(text, "x"), "recipe.json");
    ASSERT_FALSE(p.ok()) << text;
    EXPECT_EQ(p.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(p.error().message(), ::testing::StartsWith("recipe.json: "));
    EXPECT_THAT(p.error().message(), HasSubstr(part)) << text;
  }
  for (const Json& bad : {Json(128), Json(-129), Json(1.5), Json("1"), Json(UINT64_MAX)}) {
    Preprocess p;
    p.lut = descending_table();
    Json json = to_json(p);
    json["lut"][255] = bad;
    EXPECT_FALSE(preprocess_from_json(json, "x").ok()) << bad;
  }
}

TEST(MakePipeline, RefusesWhatDoesNotGoTogether) {
  const auto expect = [](const Preprocess& p, int h, int w, int c, float scale, const char* text) {
    const Result<InputPipeline> pipeline = make_pipeline(p, h, w, c, scale, 0);
    ASSERT_FALSE(pipeline.ok()) << text;
    EXPECT_EQ(pipeline.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(pipeline.error().message(), HasSubstr(text));
  };
  const float scale = 2.0F / 255.0F;
  expect({}, 32, 32, 2, scale, "1 or 3 channels");
  expect({}, 0, 32, 3, scale, "0x32x3");
  expect({}, 32, 10000, 3, scale, "32x10000x3");
  expect({}, 32, 32, 3, 0.0F, "scale is 0");
  expect({}, 32, 32, 3, NAN, "scale is nan");
  expect({}, 32, 32, 3, 0.1F, "covers -12.8 to 12.7");
  expect(*parse_preprocess("crop=96"), 128, 128, 3, scale, "crop=96");
  expect(*parse_preprocess("crop=96"), 96, 128, 3, scale, "96x128");
  expect(*parse_preprocess("resize=96"), 128, 128, 3, scale, "resize=96");
  expect(*parse_preprocess("mean=0:0:0,std=1:1:1"), 32, 32, 1, scale, "3 values");
  Preprocess both;
  both.identity = true;
  both.lut = descending_table();
  expect(both, 32, 32, 3, scale, "exclude each other");
}

TEST(Mapping, AutomaticIsMinus128ForTheUsualInputs) {
  struct Input {
    float scale;
    int zero_point;
  };
  // -1..1 as PyTorch exports and as TFLite does, 0..1, bytes, signed bytes.
  for (const Input input : {Input{2.0F / 255.0F, 0}, Input{2.0F / 255.0F, -1},
                            Input{1.0F / 255.0F, -128}, Input{1.0F, -128}, Input{1.0F, 0}}) {
    for (const float nudge : {1.0F, 1.0F + 1e-6F, 1.0F - 1e-6F}) {
      const Result<InputPipeline> pipeline =
          make_pipeline({}, 1, 1, 1, input.scale * nudge, input.zero_point);
      ASSERT_TRUE(pipeline.ok()) << pipeline.error().message();
      EXPECT_EQ(mapping_of(*pipeline), minus_128()) << input.scale << " " << input.zero_point;
    }
  }
}

TEST(Mapping, AutomaticStaysWithinHalfAStepOfTheRealValue) {
  const std::array<float, 4> scales{1.0F / 127, 1.0F / 128, 1.0F / 256, 1.01F / 255};
  const std::array<int, 4> zero_points{0, 0, -128, -128};
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const std::vector<int> q = mapping_of(*make_pipeline({}, 1, 1, 1, scales[i], zero_points[i]));
    for (int p = 0; p < 256; ++p) {
      const double real = zero_points[i] == 0 ? p / 127.5 - 1 : p / 255.0;
      const double got = scales[i] * double(q[static_cast<std::size_t>(p)] - zero_points[i]);
      // The upper end of a range may saturate.
      EXPECT_NEAR(got, real, scales[i] * (p < 254 ? 0.502 : 1.01)) << scales[i] << " " << p;
    }
  }
}

TEST(Mapping, IdentityAndTableIgnoreTheScale) {
  Preprocess p;
  p.identity = true;
  EXPECT_EQ(mapping_of(*make_pipeline(p, 1, 1, 1, 0.3F, 17)), minus_128());
  p.identity = false;
  p.lut = descending_table();
  const std::vector<int> mapped = mapping_of(*make_pipeline(p, 1, 1, 3, 0.3F, 17), 2);
  EXPECT_THAT(mapped, ::testing::ElementsAreArray(descending_table()));
}

TEST(Mapping, NormalizesPerChannelAndRoundsHalvesToEven) {
  const Preprocess p = *parse_preprocess("mean=0:0.5:0,std=1:0.25:100");
  const InputPipeline pipeline = *make_pipeline(p, 1, 1, 3, 0.02F, -3);
  for (int c = 0; c < 3; ++c) {
    const std::vector<int> q = mapping_of(pipeline, c);
    const double mean = c == 1 ? 0.5 : 0.0;
    const double std = c == 0 ? 1 : c == 1 ? 0.25 : 100;
    for (int v = 0; v < 256; ++v) {
      const double x = (v / 255.0 - mean) / std / double{0.02F};
      const double expected = std::clamp(std::nearbyint(x) - 3, -128.0, 127.0);
      EXPECT_NEAR(q[static_cast<std::size_t>(v)], expected,
                  std::abs(std::abs(x - std::floor(x)) - 0.5) < 1e-4 ? 1 : 0);
    }
  }
  // (255 / 255 + 0.25) / 0.5 = 2.5 and (255 / 255 + 0.75) / 0.5 = 3.5, exactly.
  EXPECT_EQ(mapping_of(pipeline_of("mean=-0.25,std=0.5", 1.0F)).back(), 2);
  EXPECT_EQ(mapping_of(pipeline_of("mean=-0.75,std=0.5", 1.0F)).back(), 4);
}

TEST(Mapping, SaturatesFarValues) {
  const InputPipeline pipeline =
      *make_pipeline(*parse_preprocess("mean=0.5,std=1e-38"), 1, 1, 1, 1e-3F, 0);
  const std::vector<int> q = mapping_of(pipeline);
  EXPECT_EQ(q.front(), -128);
  EXPECT_EQ(q.back(), 127);
}

TEST(Geometry, AutomaticLeavesTheRightSizeAlone) {
  const Image image = noise_image(32, 48, 3);
  EXPECT_EQ(*pipeline_of("auto", 32, 48, 3).to_pixels(image), image);
}

TEST(Geometry, AutomaticResizesTheShortSideAndCropsTheCentre) {
  const Image wide = noise_image(40, 61, 3);
  // round(128 * 147 / 128) = 147; 147 * 61 / 40 = 224.175.
  EXPECT_EQ(*pipeline_of("auto", 128, 128, 3).to_pixels(wide),
            centre_crop(resize_bilinear(wide, 147, 224), 128, 128));
  const Image tall = noise_image(61, 40, 3);
  EXPECT_EQ(*pipeline_of("", 128, 128, 3).to_pixels(tall),
            centre_crop(resize_bilinear(tall, 224, 147), 128, 128));
  // A model whose input is not square: 147 rows and round(64 * 147 / 128) = 74 columns at least.
  const Image square = noise_image(50, 50, 3);
  EXPECT_EQ(*pipeline_of("", 128, 64, 3).to_pixels(square),
            centre_crop(resize_bilinear(square, 147, 147), 128, 64));
}

TEST(Geometry, AutomaticEqualsThePublishedGeometry) {
  const Image image = noise_image(32, 32, 3);
  EXPECT_EQ(*pipeline_of("auto", 128, 128, 3).to_pixels(image),
            *pipeline_of("resize=147,crop=128", 128, 128, 3).to_pixels(image));
}

TEST(Geometry, CropAloneAndResizeAlone) {
  const Image image = noise_image(40, 40, 3);
  EXPECT_EQ(*pipeline_of("crop=32", 32, 32, 3).to_pixels(image), centre_crop(image, 32, 32));
  EXPECT_EQ(*pipeline_of("resize=32", 32, 32, 3).to_pixels(image), resize_bilinear(image, 32, 32));
  EXPECT_EQ(*pipeline_of("resize=24", 24, 36, 3).to_pixels(noise_image(10, 15, 3)),
            resize_bilinear(noise_image(10, 15, 3), 24, 36));
}

TEST(Geometry, RefusesPicturesThatDoNotFit) {
  const auto expect = [](const InputPipeline& pipeline, const Image& image, const char* text) {
    const Result<Image> pixels = pipeline.to_pixels(image);
    ASSERT_FALSE(pixels.ok()) << text;
    EXPECT_EQ(pixels.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(pixels.error().message(), HasSubstr(text));
  };
  expect(pipeline_of("crop=32", 32, 32, 3), noise_image(31, 40, 3), "31x40");
  expect(pipeline_of("resize=32", 32, 32, 3), noise_image(20, 40, 3), "becomes 32x64");
  expect(pipeline_of("auto", 32, 32, 3), noise_image(1, 500, 3), "limit");
  expect(pipeline_of("auto", 32, 32, 3), Image{}, "0x0x0");
  expect(pipeline_of("auto", 32, 32, 3), Image{2, 2, 2, std::vector<std::uint8_t>(8)}, "2x2x2");
  expect(pipeline_of("auto", 32, 32, 3), Image{2, 2, 3, std::vector<std::uint8_t>(11)}, "11 bytes");
  expect(pipeline_of("auto", 32, 32, 3), Image{-2, -2, 3, std::vector<std::uint8_t>(12)}, "-2x-2");
}

TEST(Channels, GreyFeedsEveryChannel) {
  const Image grey = noise_image(20, 20, 1);
  const InputPipeline pipeline = pipeline_of("identity", 16, 16, 3);
  std::vector<std::int8_t> out(pipeline.elements());
  ASSERT_TRUE(pipeline.to_input(grey, out).ok());
  const Image pixels = *pipeline.to_pixels(grey);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], static_cast<int>(pixels.pixels[i / 3]) - 128);
  }
}

TEST(Channels, ColourBecomesGreyBeforeItIsResized) {
  const Image colour = noise_image(20, 20, 3);
  EXPECT_EQ(*pipeline_of("resize=18,crop=16", 16, 16, 1).to_pixels(colour),
            centre_crop(resize_bilinear(to_grey(colour), 18, 18), 16, 16));
}

TEST(ToInput, RefusesASpanOfAnotherSize) {
  const InputPipeline pipeline = pipeline_of("identity", 2, 2, 1);
  std::vector<std::int8_t> out(5);
  const Status status = pipeline.to_input(noise_image(2, 2, 1), out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kInternal);
}

TEST(ToInput, GivesTheSameFromManyThreads) {
  const InputPipeline pipeline = pipeline_of("identity", 24, 24, 3);
  const Image image = noise_image(31, 37, 3);
  std::vector<std::int8_t> expected(pipeline.elements());
  ASSERT_TRUE(pipeline.to_input(image, expected).ok());
  std::vector<std::vector<std::int8_t>> got(4, std::vector<std::int8_t>(pipeline.elements()));
  {
    std::vector<std::jthread> threads;
    for (std::vector<std::int8_t>& out : got) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) (void)pipeline.to_input(image, out).ok();
      });
    }
  }
  EXPECT_THAT(got, Each(expected));
}

TEST(Golden, EqualsThePublishedPreprocessing) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path golden = path / "reference" / "golden_mcunet5fps_forward";
  const auto pixels = testing::to_nhwc(testing::read_npy<std::uint8_t>(golden / "image_u8.npy"));
  const auto inputs = testing::to_nhwc(testing::read_npy<std::int8_t>(golden / "input_q.npy"));
  const Dataset dataset = *load_dataset("cifar10:" + (path / "cifar10" / "test_2k.bin").string());
  const Result<Preprocess> preprocess = parse_preprocess(
      "resize=147,crop=128,lut=" + (path / "models" / "input_lut_repo.txt").string());
  ASSERT_TRUE(preprocess.ok()) << preprocess.error().message();
  const InputPipeline pipeline = *make_pipeline(*preprocess, 128, 128, 3, 2.0F / 255.0F, 0);
  ASSERT_THAT(pixels, SizeIs(4 * pipeline.elements()));
  ASSERT_THAT(inputs, SizeIs(4 * pipeline.elements()));
  for (std::size_t i = 0; i < 4; ++i) {
    const auto first = static_cast<std::ptrdiff_t>(i * pipeline.elements());
    const auto last = static_cast<std::ptrdiff_t>((i + 1) * pipeline.elements());
    const Image& image = dataset.images[i];
    EXPECT_EQ(pipeline.to_pixels(image)->pixels,
              std::vector<std::uint8_t>(pixels.begin() + first, pixels.begin() + last));
    std::vector<std::int8_t> out(pipeline.elements());
    ASSERT_TRUE(pipeline.to_input(image, out).ok());
    EXPECT_EQ(out, std::vector<std::int8_t>(inputs.begin() + first, inputs.begin() + last));
  }
}

}  // namespace
}  // namespace espalier::data
