// A report that is read again is the report that was written.
#include "espalier/report/read_report.hpp"

#include <gmock/gmock.h>

#include "espalier/report/build.hpp"
#include "espalier/report/page.hpp"
#include "espalier/support/file.hpp"
#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

class ReadReport : public ::testing::Test {
 protected:
  ReadReport() : report_(report::build_report(documents_.read(), {.title = kOddName})) {}

  Result<report::Report> read(const std::string& text) const {
    return report::read_report(folder_.write("report.json", text));
  }

  const ExampleFolder documents_;
  const report::Report report_;
  const TempFolder folder_;
};

TEST_F(ReadReport, MakesTheSamePage) {
  const auto again = read(report::to_text(report_));
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(report::to_text(*again), report::to_text(report_));
  const report::DrawingLibrary library{"/*vega*/", "/*lite*/", "/*embed*/", "licence"};
  EXPECT_EQ(report::to_page(*again, library), report::to_page(report_, library));
}

TEST_F(ReadReport, ItsTextIsTheDocumentWithOneLineARow) {
  const std::string text = report::to_text(report_);
  EXPECT_EQ(Json::parse(text), report::to_json(report_));
  EXPECT_LT(text.size(), json_text(report::to_json(report_), 2).size() * 2 / 3);
  EXPECT_THAT(text, HasSubstr("\n            [0,0.0,0.02,0.0,1.0,false],\n"));
}

TEST_F(ReadReport, RefusesWhatAPageCouldNotShow) {
  const Json good = report::to_json(report_);
  const auto refused = [&](const Json::json_pointer& at, const Json& value, const char* says) {
    Json bad = good;
    bad[at] = value;
    const auto result = read(bad.dump());
    ASSERT_FALSE(result.ok()) << at.to_string();
    EXPECT_EQ(result.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(result.error().message(), HasSubstr(says));
  };
  const std::string section = "/sections/0";
  // Names go into the page as they are.
  for (const char* name : {"/id", "/tables/0/id", "/figures/0/id", "/figures/0/table"}) {
    refused(Json::json_pointer(section + name), "x\"><script>", "small letters");
  }
  refused(Json::json_pointer(section + "/figures/0/table"), "none", "table that is not there");
  refused(Json::json_pointer(section + "/figures/0/specification"), 1, "must be an object");
  refused(Json::json_pointer(section + "/tables/0/rows/0/0"), Json::array(), "rows[0]");
  refused(Json::json_pointer(section + "/tables/0/rows/0"), {"too", "few"}, "rows[0]");
  refused(Json::json_pointer(section + "/tables/0/columns/0/type"), "colour", "not known");
  refused(Json::json_pointer(section + "/tables/0/columns/0/decimals"), -1, "out of range");
  refused(Json::json_pointer("/sections"), "none", "must be an array");
  refused(Json::json_pointer("/title"), 7, "title");
  EXPECT_FALSE(report::is_report(folder_.path() / "none.json"));
  EXPECT_FALSE(report::is_report(folder_.path()));
}

}  // namespace
}  // namespace espalier::testing
