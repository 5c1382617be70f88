// What espalier fit times on the simulated core, with programs built as they are deployed.
#include <string>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

using FitSlowTest = Workspace;

TEST_F(FitSlowTest, TimesAnUpdateOrSaysThatItDoesNot) {
  make_model("model.onnx", 1, 4);
  make_idx("train", 48);
  make_idx("test", 24);
  const auto fit = [&](const std::string& samples) {
    return succeed({"fit",        "model.onnx",
                    "--train",    "idx:train-images,train-labels",
                    "--test",     "idx:test-images,test-labels",
                    "--device",   "espalier-core",
                    "--out",      "fit",
                    "--epochs",   "1",
                    "--stack",    "8KiB",
                    "--ratios",   "1",
                    "--numerics", "device",
                    "--batch",    samples});
  };
  EXPECT_THAT(fit("2").err, ::testing::Not(HasSubstr("an update takes")));
  EXPECT_EQ(read_json("fit/on-espalier-core/check.json")["steps"], 2);
  EXPECT_EQ(read_json("fit/fit.json")["devices"][0]["updates"], 1);
  EXPECT_GT(read_json("fit/fit.json")["devices"][0]["cycles_per_step"], 0);
  const Finished without = fit("9");
  EXPECT_THAT(without.err, HasSubstr("an update takes 9 samples"));
  EXPECT_THAT(without.out, HasSubstr("at least "));
  EXPECT_EQ(read_json("fit/fit.json")["devices"][0]["updates"], 0);
}

}  // namespace
}  // namespace espalier::testing
