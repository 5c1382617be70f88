// Classes keep their names from the data to the emitted C, and are matched by them.
#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/data_files.hpp"
#include "espalier/import/importer.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kBadData = 65;

class ClassesTest : public Workspace {
 protected:
  ClassesTest() {
    make_model();
    make_plan("plan.json", {"--last", "1"});
  }

  // One folder a class; each class has pictures of its own brightness, whatever the order.
  void make_classes(const std::string& name, const std::vector<std::string>& classes,
                    int each = 12) const {
    for (const std::string& c : classes) {
      for (int i = 0; i < each; ++i) {
        data::Image image = noise_image(8, 8, 3, static_cast<std::uint32_t>(i + 1));
        for (std::uint8_t& p : image.pixels) {
          p = static_cast<std::uint8_t>(p / 8 + 60 * (c[0] - 'a'));
        }
        write(fmt::format("{}/{}/{}.png", name, c, i), png_file(image));
      }
    }
  }

  [[nodiscard]] static Arguments train(const std::string& training, const std::string& test) {
    return {"train", "model.onnx", "--plan", "plan.json", "--train", training, "--test",
            test,    "--epochs",   "3",      "--batch",   "4",       "--lr",   "1"};
  }
};

TEST_F(ClassesTest, SetsOfOtherClassesAreRefusedWithBothLists) {
  make_classes("train", {"ant", "bee", "cat"});
  make_classes("test", {"bee", "cat", "dog"});
  fail(kBadData, train("folder:train", "folder:test"),
       {"folder:train has 3 classes: ant, bee, cat; folder:test has 3 classes: bee, cat, dog"});
  fail(kBadData,
       {"analyze", "model.onnx", "--out", "out.json", "--train", "folder:train", "--val",
        "folder:test"},
       {"folder:train has 3 classes: ant, bee, cat; folder:test has 3 classes: bee, cat, dog"});
  const Json common =
      report(train("folder:train", "folder:test") + Arguments{"--classes", "bee,cat"});
  EXPECT_EQ(common["data"]["test"]["class_names"], Json({"bee", "cat"}));
}

// The same pictures, listed in another order of classes, are the same test set.
TEST_F(ClassesTest, SetsAreMatchedByName) {
  make_classes("train", {"ant", "bee", "cat"});
  const Arguments right = train("folder:train", "folder:train");
  const Json one = report(right + Arguments{"--export", "tuned.onnx"});
  EXPECT_GT(one["test_accuracy"].get<double>(), 0.45);
  const Result<ir::Graph> tuned = import_model(path("tuned.onnx"));
  ASSERT_TRUE(tuned.ok()) << tuned.error().message();
  EXPECT_THAT(tuned->head.class_names, ElementsAre("ant", "bee", "cat"));
  // A kept classifier has its own order, which the data follows.
  make_plan("plan.json", {"--head-only"});
  succeed({"plan", "make", "tuned.onnx", "--head-only", "--out", "tuned.json"});
  const Json kept = report({"train", "tuned.onnx", "--plan", "tuned.json", "--head", "keep",
                            "--train", "folder:train", "--test", "folder:train", "--classes",
                            "cat,ant,bee", "--lr", "0", "--epochs", "1"});
  EXPECT_EQ(kept["test_accuracy"], one["test_accuracy"]);
  EXPECT_EQ(kept["data"]["train"]["class_names"], Json({"ant", "bee", "cat"}));
}

TEST_F(ClassesTest, NumbersAgainstNamesAreMatchedByPositionWithAWarning) {
  make_classes("train", {"ant", "bee", "cat", "dog"});
  make_idx("numbers", 8);
  const Finished finished = succeed(train("folder:train", "idx:numbers-images,numbers-labels"));
  EXPECT_THAT(finished.err, HasSubstr("ant, bee, cat, dog"));
  EXPECT_THAT(finished.err, HasSubstr("matched by position"));
}

TEST_F(ClassesTest, NamesGoFromTheDataToTheEmittedC) {
  make_classes("train", {"ant", "bee\"?", "cat"});
  succeed({"analyze", "model.onnx", "--out", "profile.json", "--train", "folder:train", "--epochs",
           "1", "--layers", "6", "--ratios", "1"});
  EXPECT_EQ(read_json("profile.json")["data"]["train"]["class_names"],
            Json({"ant", "bee\"?", "cat"}));
  succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "10KiB", "--out",
           "found.json"});
  EXPECT_EQ(read_json("found.json")["classes"], Json({"ant", "bee\"?", "cat"}));
  succeed({"compile", "model.onnx", "--plan", "found.json", "--classes", "3", "--out", "c"});
  EXPECT_THAT(read("c/model.h"), HasSubstr("#define MODEL_CLASS_NAMES { \\\n  \"ant\", \\\n"));
  EXPECT_THAT(read("c/model.h"), HasSubstr("\"bee\\042\\077\""));
  EXPECT_EQ(read_json("c/program.json")["class_names"], Json({"ant", "bee\"?", "cat"}));

  // The plan knows what it was made for.
  make_classes("other", {"ant", "bee", "cow"});
  fail(kBadData,
       {"train", "model.onnx", "--plan", "found.json", "--train", "folder:other", "--test",
        "folder:other"},
       {"found.json has 3 classes: ant, bee\"?, cat; folder:other has 3 classes: ant, bee, cow"});
  Json old = read_json("found.json");
  old.erase("classes");
  write("old.json", old.dump());
  const Finished warned = succeed({"train", "model.onnx", "--plan", "old.json", "--train",
                                   "folder:other", "--test", "folder:other", "--epochs", "1"});
  EXPECT_THAT(warned.err, HasSubstr("old.json does not say which classes"));
}

// The data that integer gradients start from is that of the plan's classes.
TEST_F(ClassesTest, NamesWithCommasSelectTheDataOfAPlan) {
  make_classes("train", {"ant", "bee,wasp", "cat", "dog-1"}, 3);
  Json plan = read_json("plan.json");
  plan["classes"] = {"dog-1", "bee,wasp", "ant"};
  write("commas.json", plan.dump());
  const Arguments compile{"compile",    "model.onnx", "--plan",  "commas.json",
                          "--numerics", "integer",    "--train", "folder:train"};
  succeed(compile + Arguments{"--out", "c"});
  EXPECT_EQ(read_json("c/program.json")["class_names"], Json({"dog-1", "bee,wasp", "ant"}));
  plan["classes"] = {"dog-1", "bee", "wasp"};
  write("commas.json", plan.dump());
  fail(2, compile + Arguments{"--out", "d"}, {"folder:train: has no class 'bee', but 4 classes"});
}

// Of as many classes, but of others: its classifier is not what a plan begins with.
TEST_F(ClassesTest, AClassifierOfOtherClassesIsNotKept) {
  make_classes("train", {"ant", "bee", "cat"}, 2);
  succeed(train("folder:train", "folder:train") + Arguments{"--export", "tuned.onnx"});
  EXPECT_EQ(report({"inspect", "tuned.onnx"})["head"]["class_names"], Json({"ant", "bee", "cat"}));
  const auto compile = [](const std::string& plan, const std::string& out) {
    return Arguments{"compile", "tuned.onnx", "--plan", plan, "--out", out};
  };
  const auto make = [&](const std::string& plan, const std::string& classes) {
    succeed({"plan", "make", "tuned.onnx", "--head-only", "--classes", classes, "--out", plan});
  };
  make("other.json", "ant,bee,dog");
  const Finished other = succeed(compile("other.json", "o"));
  EXPECT_THAT(other.err, HasSubstr("the model's classifier is of 3 classes: ant, bee, cat; "
                                   "other.json has 3 classes: ant, bee, dog: a fresh one begins"));
  EXPECT_THAT(other.out, HasSubstr("the classifier starts anew"));
  EXPECT_EQ(read_json("o/program.json")["class_names"], Json({"ant", "bee", "dog"}));
  fail(2, compile("other.json", "k") + Arguments{"--head", "keep"},
       {"--head keep: the model has 3 classes: ant, bee, cat; other.json has 3 classes: ant, bee, "
        "dog; use --head fresh"});
  // In another order they are the same, and numbers stand for any.
  make("turned.json", "cat,ant,bee");
  make("numbers.json", "3");
  for (const std::string plan : {"turned.json", "numbers.json"}) {
    const Json kept = report(compile(plan, "kept-" + plan));
    EXPECT_EQ(kept["head"], "keep");
    EXPECT_EQ(kept["class_names"], Json({"ant", "bee", "cat"}));
  }
}

// Numbers that were chosen are names like others; only 0, 1, 2 may stand for any.
TEST_F(ClassesTest, NumbersThatWereChosenAreNames) {
  make_idx("train", 40);
  const std::string data = "idx:train-images,train-labels";
  succeed(train(data, data) + Arguments{"--classes", "3,0,2", "--export", "tuned.onnx"});
  const auto compile = [&](const std::string& classes, const std::string& name) {
    const std::string plan = name + ".json";
    succeed({"plan", "make", "tuned.onnx", "--head-only", "--classes", classes, "--out", plan});
    return Arguments{"compile", "tuned.onnx", "--plan", plan, "--out", name};
  };
  const Json turned = report(compile("0,2,3", "turned"));
  EXPECT_EQ(turned["head"], "keep");
  EXPECT_EQ(turned["class_names"], Json({"3", "0", "2"}));
  const Finished named = succeed(compile("ant,bee,cat", "named"));
  EXPECT_THAT(named.err, HasSubstr("tuned has 3 classes: 3, 0, 2, and named.json has 3 classes: "
                                   "ant, bee, cat: these are taken for the former in order"));
  // A model that says nothing of its classes is not said to have none.
  succeed({"plan", "make", "model.onnx", "--head-only", "--classes", "0,2,3,7", "--out", "p.json"});
  const Finished unnamed =
      succeed({"compile", "model.onnx", "--plan", "p.json", "--out", "unnamed"});
  EXPECT_THAT(unnamed.err, Not(HasSubstr("taken for the former")));
  EXPECT_THAT(unnamed.err, HasSubstr("those of p.json are taken for them in order, 4 classes: "
                                     "0, 2, 3, 7"));
}

// The model has four classes and no names for them.
TEST_F(ClassesTest, AModelWithoutNamesIsMatchedByPositionWithAWarning) {
  make_classes("train", {"ant", "bee", "cat", "dog"}, 2);
  const auto expect = [&](const Arguments& command, const std::string& of) {
    EXPECT_THAT(succeed(command).err,
                HasSubstr("model does not say the names of its classes: those of " + of +
                          " are taken for them in order, 4 classes: ant, bee, cat, dog"));
  };
  expect({"evaluate", "model.onnx", "--test", "folder:train"}, "folder:train");
  expect(train("folder:train", "folder:train") + Arguments{"--head", "keep"}, "folder:train");
  succeed({"plan", "make", "model.onnx", "--last", "1", "--classes", "ant,bee,cat,dog", "--out",
           "named.json"});
  const Arguments compile{"compile", "model.onnx", "--plan", "named.json", "--out"};
  expect(compile + Arguments{"c"}, "named.json");
  EXPECT_THAT(succeed(compile + Arguments{"d", "--head", "fresh"}).err, Not(HasSubstr("in order")));
  EXPECT_THAT(succeed(train("folder:train", "folder:train")).err, Not(HasSubstr("in order")));
}

TEST_F(ClassesTest, TheDoubtAboutPositionsStandsInTheDocument) {
  make_classes("train", {"ant", "bee", "cat", "dog"}, 2);
  const Arguments kept = train("folder:train", "folder:train") + Arguments{"--head", "keep"};
  for (const Arguments& command :
       {Arguments{"evaluate", "model.onnx", "--test", "folder:train"}, kept}) {
    EXPECT_THAT(report(command)["warnings"],
                Contains(HasSubstr("taken for them in order, 4 classes: ant, bee, cat, dog")));
  }
  EXPECT_THAT(report(train("folder:train", "folder:train"))["warnings"],
              Not(Contains(HasSubstr("in order"))));
}

// Of some of the model's classes, none is taken for another.
TEST_F(ClassesTest, FoldersThatAreNumbersAreTheClassesOfThatNumber) {
  make_classes("all", {"0", "1", "2", "3"}, 6);
  make_classes("some", {"3", "1"}, 6);
  make_idx("all", 40);
  const auto evaluate = [&](const std::string& data, const Arguments& more = {}) {
    Json found = report(Arguments{"evaluate", "model.onnx", "--test", data} + more);
    EXPECT_THAT(found["warnings"], Not(Contains(HasSubstr("in order"))));
    return found;
  };
  const Json folders = evaluate("folder:all");
  const std::string idx = "idx:all-images,all-labels";
  const Json arrays = evaluate(idx);
  for (const auto& [whole, part] :
       {std::pair{folders, evaluate("folder:some")},
        std::pair{folders, evaluate("folder:all", {"--classes", "3,1"})},
        std::pair{arrays, evaluate(idx, {"--classes", "3,1"})}}) {
    EXPECT_EQ(part["data"]["test"]["class_names"], Json({"0", "1", "2", "3"}));
    for (const std::size_t c : {1U, 3U}) {
      EXPECT_EQ(part["confusion"][c], whole["confusion"][c]);
      EXPECT_EQ(part["classes"][c]["accuracy"], whole["classes"][c]["accuracy"]);
    }
    for (const std::size_t c : {0U, 2U}) EXPECT_EQ(part["classes"][c]["samples"], 0);
  }
  // A number that the model does not have: as many folders are taken in order.
  make_classes("from_1", {"1", "2", "3", "4"}, 2);
  EXPECT_THAT(report({"evaluate", "model.onnx", "--test", "folder:from_1"})["warnings"],
              Contains(HasSubstr("taken for them in order, 4 classes: 1, 2, 3, 4")));
}

// A kept classifier is trained on the classes that evaluate says it tells apart.
TEST_F(ClassesTest, FoldersThatAreNumbersKeepTheClassifierOfThese) {
  make_classes("all", {"0", "1", "2", "3"}, 6);
  make_plan("head.json", {"--head-only"});
  const Json found = report({"evaluate", "model.onnx", "--test", "folder:all"});
  const Json kept = report({"train", "model.onnx", "--plan", "head.json", "--head", "keep",
                            "--train", "folder:all", "--test", "folder:all", "--classes",
                            "3,1,0,2", "--lr", "0", "--epochs", "1"});
  EXPECT_EQ(kept["test_classes"], found["classes"]);
  EXPECT_EQ(kept["data"]["train"]["class_names"], Json({"0", "1", "2", "3"}));
  EXPECT_THAT(kept["warnings"], Not(Contains(HasSubstr("in order"))));
  succeed({"plan", "make", "model.onnx", "--head-only", "--classes", "3,1,0,2", "--out", "p.json"});
  const Json compiled = report({"compile", "model.onnx", "--plan", "p.json", "--out", "c"});
  EXPECT_EQ(compiled["head"], "keep");
  EXPECT_EQ(compiled["class_names"], Json({"0", "1", "2", "3"}));
}

// Folders that are numbers: the places that an analysis kept are not names of these.
TEST_F(ClassesTest, ASearchMeasuresTheClassesOfItsProfile) {
  make_classes("numbers", {"1", "2", "3", "4"}, 20);
  const Arguments short_training{"--epochs", "1", "--batch", "8"};
  succeed(Arguments{"analyze", "model.onnx", "--train", "folder:numbers", "--classes", "2,4",
                    "--ratios", "1", "--layers", "6", "--limit-val", "8", "--out", "profile.json"} +
          short_training);
  const Json found =
      report(Arguments{"search", "profile.json", "--model", "model.onnx", "--budget", "20KiB",
                       "--measure", "3", "--train", "folder:numbers", "--limit-val", "8",
                       "--race-seeds", "2", "--out", "found.json"} +
             short_training);
  EXPECT_EQ(read_json("found.json")["classes"], Json({"2", "4"}));
  EXPECT_EQ(found["solver"], "measured");
}

// The matrix does not call class 2 by the number of another.
TEST_F(ClassesTest, ClassesCalledByNumbersAreSoInTheMatrix) {
  make_classes("numbers", {"2", "4", "123456"}, 4);
  report(train("folder:numbers", "folder:numbers") + Arguments{"--export", "tuned.onnx"});
  const std::string out = succeed({"evaluate", "tuned.onnx", "--test", "folder:numbers"}).out;
  EXPECT_THAT(out, HasSubstr("\nlabel \\ taken for 123456      2      4\n           123456 "));
  EXPECT_THAT(out, HasSubstr("\n                4 "));
}

// Names of folders may hold any bytes; documents, which data is matched with, may not.
TEST_F(ClassesTest, NamesThatAreNoUtf8AreMatched) {
  const std::string odd = "b\xff";
  const std::string replaced = "b\xef\xbf\xbd";
  make_classes("train", {"ant", odd}, 2);
  succeed({"plan", "make", "model.onnx", "--last", "1", "--classes", "ant," + odd, "--out",
           "plan.json"});
  const Json trained = report(train("folder:train", "folder:train") +
                              Arguments{"--classes", odd + ",ant", "--export", "tuned.onnx"});
  EXPECT_EQ(trained["data"]["train"]["class_names"], Json({replaced, "ant"}));
  EXPECT_EQ(report({"evaluate", "tuned.onnx", "--test", "folder:train"})["classes"][0]["name"],
            replaced);
  make_classes("train", {"b\xfe"}, 2);
  fail(kBadData, train("folder:train", "folder:train"),
       {"folder:train: two classes named " + replaced + " differ only in bytes that are no UTF-8"});
}

TEST_F(ClassesTest, NamesThatAreNone) {
  make_classes("train", {"ant", "bee", "cat"});
  fail(2, train("folder:train", "folder:train") + Arguments{"--classes", "ant,cow"},
       {"'cow' is neither a class nor a number"});
}

}  // namespace
}  // namespace espalier::testing
