// Pictures drawn from a report by tools/draw_figure.mjs.
#include <gmock/gmock.h>

#include <cstdlib>
#include <string>

#include "espalier/report/build.hpp"
#include "espalier/report/page.hpp"
#include "espalier/support/file.hpp"
#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Figures : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v node >/dev/null") != 0 || !report::built_in_library().present()) {
      GTEST_SKIP() << "needs node and Vega-Lite; run tools/setup.sh";
    }
  }

  // The exit code of `node tools/draw_figure.mjs` with these arguments.
  [[nodiscard]] int draw(const std::string& arguments) const {
    const std::string command = "cd " + folder_.path().string() +
                                " && ESPALIER_NPM=" ESPALIER_NPM " node " ESPALIER_DRAW_FIGURE " " +
                                arguments + " 2>err";
    const int status = std::system(command.c_str());
    return WEXITSTATUS(status);
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return *read_file(folder_.path() / name);
  }

  void write(const report::Documents& documents) const {
    static_cast<void>(
        folder_.write("report.json", report::to_text(report::build_report(documents))));
  }

  const TempFolder folder_;
};

TEST_F(Figures, ArePicturesThatAreSmallAndTheSameEachTime) {
  const ExampleFolder documents;
  write(documents.read());
  ASSERT_EQ(draw("report.json --figures a"), 0) << file("err");
  ASSERT_EQ(draw("report.json --figures b"), 0) << file("err");
  for (const char* name : {"contributions.svg", "accuracy.svg"}) {
    const std::string svg = file(std::string("a/") + name);
    EXPECT_THAT(svg, StartsWith("<svg xmlns="));
    EXPECT_THAT(svg, ::testing::EndsWith("</svg>\n"));
    EXPECT_LT(svg.size(), 60000U);
    EXPECT_EQ(file(std::string("b/") + name), svg);
  }
  EXPECT_THAT(file("a/contributions.svg"), HasSubstr("depthwise"));
  EXPECT_THAT(file("a/contributions.svg"), HasSubstr("gain of biases by depth"));
  EXPECT_THAT(file("a/accuracy.svg"), HasSubstr("extra memory, KiB"));
}

TEST_F(Figures, TheFrontOfRacesIsDrawn) {
  const ExampleFolder documents;
  documents.write("search.json", search_document());
  write(documents.read());
  ASSERT_EQ(draw("report.json front.svg front-1"), 0) << file("err");
  EXPECT_THAT(file("front.svg"), HasSubstr("accuracy gained over the head alone, points"));
}

TEST_F(Figures, WhatIsNotThereIsNamed) {
  report::Documents half = ExampleFolder().read();
  half.trainings.clear();
  write(half);
  EXPECT_EQ(draw("report.json --figures c"), 0);
  EXPECT_THAT(file("err"), HasSubstr("no figure for accuracy.svg"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "c/accuracy.svg"));
  half.profiles.clear();
  write(half);
  EXPECT_EQ(draw("report.json --figures d"), 65);
  EXPECT_EQ(draw("report.json out.svg memory-1"), 65);
  EXPECT_THAT(file("err"), HasSubstr("no figure 'memory-1'; there are"));
  EXPECT_EQ(draw("none.json --figures d"), 66);
  EXPECT_EQ(draw("report.json"), 2);
}

}  // namespace
}  // namespace espalier::testing
