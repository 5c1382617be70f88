// Datasets that are missing, damaged, empty, mislabelled or of another task than asked for.
#include <filesystem>
#include <string>

#include "data/data_files.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kUsage = 2;
constexpr int kBadData = 65;
constexpr int kMissing = 66;

class BadDataTest : public Workspace {
 protected:
  BadDataTest() {
    make_model();
    make_idx("train", 20);
    make_plan("plan.json", {"--head-only"});
  }

  /// Reading `spec` fails, as training and as test data, in train and in analyze.
  void refused(int code, const std::string& spec, const std::string& text) const {
    const std::string good = "idx:train-images,train-labels";
    const Arguments train{"train", "model.onnx", "--plan", "plan.json", "--json", "out.json"};
    fail(code, train + Arguments{"--train", spec, "--test", good}, {text});
    fail(code, train + Arguments{"--train", good, "--test", spec}, {text});
    fail(code, {"analyze", "model.onnx", "--out", "out.json", "--train", spec}, {text});
  }
};

TEST_F(BadDataTest, Specs) {
  refused(kUsage, "tfds:mnist", "dataset 'tfds:mnist': unknown format");
  refused(kUsage, "train-images", "names no format");
  refused(kUsage, "idx:train-images", "two files are needed");
  refused(kUsage, "cifar10:", "a file name is missing");
  refused(kUsage, "cifar10:train-images,train-labels,./train-images",
          "'./train-images' is there twice");
}

TEST_F(BadDataTest, MissingFiles) {
  refused(kMissing, "cifar10:nowhere.bin", "nowhere.bin: cannot be opened");
  refused(kMissing, "idx:train-images,nowhere", "nowhere: cannot be opened");
  refused(kMissing, "idx:nowhere,train-labels", "nowhere: cannot be opened");
  refused(kMissing, "folder:nowhere", "nowhere: cannot be listed");
  refused(kBadData, "folder:train-images", "train-images: is not a folder");
}

TEST_F(BadDataTest, PointersOfGitLfs) {
  const std::string text = "is a Git LFS pointer";
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  std::filesystem::create_directories(path("photos/class0"));
  for (const char* name : {"p.bin", "p.npy", "p.npz", "p.csv", "photos/class0/p.png", "p.onnx",
                           "p.tflite", "p.json"}) {
    write(name, pointer);
  }
  for (const char* spec : {"cifar10:p.bin", "idx:p.bin,p.bin", "npy:p.npy,p.npy", "npz:p.npz",
                           "csv:p.csv", "folder:photos"}) {
    refused(kBadData, spec, text);
  }
  fail(kBadData, {"inspect", "p.onnx"}, {text});
  fail(kBadData, {"inspect", "p.tflite"}, {text});
  fail(kBadData, {"plan", "show", "p.json", "--model", "model.onnx"}, {text});
}

TEST_F(BadDataTest, Cifar10Files) {
  write("empty.bin", "");
  refused(kBadData, "cifar10:empty.bin", "empty.bin: holds no record");
  write("short.bin", cifar_record(3) + cifar_record(4).substr(0, 100));
  refused(kBadData, "cifar10:short.bin", "short.bin: record 1 is cut short");
  write("labels.bin", cifar_record(3) + cifar_record(17));
  refused(kBadData, "cifar10:labels.bin", "labels.bin: record 1: label 17");
}

TEST_F(BadDataTest, IdxFiles) {
  refused(kBadData, "idx:train-labels,train-images", "train-labels: is a file of labels");
  write("empty", "");
  refused(kBadData, "idx:empty,train-labels", "empty: not an IDX file");
  const std::string images = read("train-images");
  write("short", images.substr(0, images.size() - 1));
  refused(kBadData, "idx:short,train-labels", "short: image 19 of 20 is cut short");
  make_idx("other", 19);
  refused(kBadData, "idx:train-images,other-labels",
          "other-labels: 19 labels for the 20 images of train-images");
}

TEST_F(BadDataTest, Folders) {
  std::filesystem::create_directory(path("empty"));
  refused(kBadData, "folder:empty", "empty: has no class");
  make_folder("pictures", 2);
  write("pictures/class1/torn.png", read("pictures/class1/0.png").substr(0, 60));
  // Pictures are read once it is clear which, so the other set is one of the same classes.
  make_folder("whole", 3);
  const std::string torn = "pictures/class1/torn.png: ";
  for (const auto& [training, test] : {std::pair{"folder:pictures", "folder:whole"},
                                       std::pair{"folder:whole", "folder:pictures"}}) {
    fail(kBadData,
         {"train", "model.onnx", "--plan", "plan.json", "--json", "out.json", "--train", training,
          "--test", test},
         {torn});
    fail(kBadData,
         {"analyze", "model.onnx", "--out", "out.json", "--train", training, "--val", test},
         {torn});
  }
  std::filesystem::remove(path("pictures/class1/torn.png"));
  std::filesystem::create_directory(path("pictures/class9"));
  refused(kBadData, "folder:pictures", "pictures/class9: class 3 'class9' has no image");
}

// What is counted for each pair of classes would take all memory.
TEST_F(BadDataTest, LabelsFarApart) {
  std::string rows;
  for (int i = 0; i < 12; ++i) {
    for (int k = 0; k < 8 * 8 * 3; ++k)
      rows += std::to_string(i % 2) + '.' + std::to_string(k) + ',';
    rows += i % 2 == 0 ? "0\n" : "8000\n";
  }
  write("apart.csv", rows);
  refused(kBadData, "csv:apart.csv",
          "csv:apart.csv: labels go up to 8000, of which 2 occur; number them 0 to 1, or choose "
          "them with --classes");
  const Json chosen =
      report({"train", "model.onnx", "--plan", "plan.json", "--train", "csv:apart.csv", "--test",
              "csv:apart.csv", "--epochs", "1", "--classes", "0,8000"});
  EXPECT_EQ(chosen["data"]["train"]["class_names"], Json({"0", "8000"}));
}

TEST_F(BadDataTest, SetsThatDoNotBelongTogether) {
  make_idx("three", 18, 3);
  const std::string four = "idx:train-images,train-labels";
  const std::string three = "idx:three-images,three-labels";
  const std::string why = three + " has 3 classes: 0, 1, 2; " + four + " has 4 classes: 0, 1, 2, 3";
  const Arguments train{"train", "model.onnx", "--plan", "plan.json", "--epochs", "1"};
  const Arguments analyze{"analyze", "model.onnx", "--out", "out.json", "--epochs",
                          "1",       "--layers",   "6",     "--ratios", "1"};
  fail(kBadData, train + Arguments{"--train", three, "--test", four}, {why});
  fail(kBadData, analyze + Arguments{"--train", three, "--val", four}, {why});
  // The last class may be missing where it is known from the training data.
  const std::string missing = three + ": no sample of 1 class: 3";
  const Arguments lacking = train + Arguments{"--train", four, "--test", three};
  EXPECT_THAT(succeed(lacking).err, HasSubstr(missing));
  const Json trained = report(lacking);
  EXPECT_EQ(trained["test_classes"].size(), 4U);
  EXPECT_TRUE(trained["test_classes"][3]["accuracy"].is_null());
  EXPECT_THAT(succeed(analyze + Arguments{"--train", four, "--val", three}).err,
              HasSubstr(missing));
  fail(kUsage,
       {"train", "model.onnx", "--plan", "plan.json", "--head", "keep", "--train",
        "idx:three-images,three-labels", "--test", "idx:three-images,three-labels"},
       {"--head keep: the model has 4 classes, the data says 3"});
}

TEST_F(BadDataTest, MoreSamplesThanThereAre) {
  const Arguments train{"train",   "model.onnx",
                        "--plan",  "plan.json",
                        "--train", "idx:train-images,train-labels",
                        "--test",  "idx:train-images,train-labels"};
  const std::string text = "idx:train-images,train-labels: limit 21, but only 20 records are there";
  fail(kUsage, train + Arguments{"--limit-train", "21"}, {text});
  fail(kUsage, train + Arguments{"--limit-test", "21"}, {text});
  const Arguments analyze{"analyze", "model.onnx",
                          "--out",   "out.json",
                          "--train", "idx:train-images,train-labels",
                          "--val",   "idx:train-images,train-labels"};
  fail(kUsage, analyze + Arguments{"--limit-train", "21"}, {text});
  fail(kUsage, analyze + Arguments{"--limit-val", "21"}, {text});
}

}  // namespace
}  // namespace espalier::testing
