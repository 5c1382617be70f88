// Photos of 12 megapixels: memory follows what is chosen and the model's size, not the camera's.
#include <filesystem>
#include <fstream>
#include <string>

#include "data/data_files.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

constexpr int kHeight = 3000;
constexpr int kWidth = 4000;
constexpr std::int64_t kPhoto = std::int64_t{3} * kHeight * kWidth;  // bytes of pixels

class PhotosTest : public Workspace {
 protected:
  PhotosTest() {
    make_model();
    make_plan("plan.json", {"--last", "2"});
    for (int c = 0; c < 4; ++c) {
      // Shades rather than noise, which hardly shrinks.
      data::Image image;
      image.height = kHeight;
      image.width = kWidth;
      image.channels = 3;
      image.pixels.resize(static_cast<std::size_t>(kPhoto));
      for (std::size_t i = 0; i < image.pixels.size(); ++i) {
        image.pixels[i] = static_cast<std::uint8_t>(i / 3 % kWidth / 40 + 35 * c);
      }
      const std::string jpeg = jpeg_file(image, 80);
      for (const char* set : {"train", "test"}) {
        const std::filesystem::path folder = std::filesystem::path(set) / ("c" + std::to_string(c));
        std::filesystem::create_directories(path(folder));
        for (int i = 0; i < 10; ++i) {
          // Bytes behind the picture make each file one of its own.
          write(folder / (std::to_string(i) + ".jpg"), jpeg + set + std::to_string(i));
        }
      }
    }
  }
};

TEST_F(PhotosTest, AFewOfManyTakeLittleMemory) {
  RunOptions options;
  options.timeout = std::chrono::seconds{600};
  const Finished finished =
      run({"train", "model.onnx", "--plan", "plan.json", "--train", "folder:train", "--test",
           "folder:test", "--limit-train", "20", "--limit-test", "8", "--epochs", "1", "--batch",
           "4", "--jobs", "2"},
          options);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  // What two threads decode, the largest file's text beside it, the program and its libraries; the
  // 20 photos are 720 MB, and all of them 2.9 GB.
  EXPECT_LT(finished.peak_bytes, 8 * kPhoto);
  EXPECT_GT(finished.peak_bytes, kPhoto);
}

}  // namespace
}  // namespace espalier::testing
