#include "espalier/report/page.hpp"

#include <gmock/gmock.h>

#include <regex>
#include <set>

#include "espalier/report/build.hpp"
#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

class ReportPage : public ::testing::Test {
 protected:
  const report::DrawingLibrary library_{"/*vega*/", "/*lite*/", "/*embed*/", "licence <text>"};
  ExampleFolder folder_;
  report::Report report_ = report::build_report(folder_.read(), {.title = kOddName});
  std::string page_ = report::to_page(report_, library_);
};

// Elements open and close in order, and names from documents are text, never elements.
TEST_F(ReportPage, IsWellFormedWhateverNamesHold) {
  EXPECT_EQ(count(page_, "<img"), 0U);
  EXPECT_THAT(page_, HasSubstr("a&lt;b &amp; &quot;c&quot; &#39;d&#39; &lt;/script&gt;&lt;img"));
  const std::string without_scripts =
      std::regex_replace(page_, std::regex("(<script[^>]*>)[^<]*(</script>)"), "$1$2");
  const std::set<std::string> empty{"meta"};
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z][a-z0-9]*)[^>]*>");
  for (std::sregex_iterator it(without_scripts.begin(), without_scripts.end(), tag), end; it != end;
       ++it) {
    const std::string name = (*it)[2];
    if (empty.contains(name)) continue;
    if ((*it)[1].length() == 0) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << name;
    ASSERT_EQ(open.back(), name) << "at " << it->position();
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST_F(ReportPage, LoadsNothing) {
  EXPECT_THAT(page_, Not(HasSubstr("http:")));
  EXPECT_THAT(page_, Not(HasSubstr("https:")));
  EXPECT_FALSE(std::regex_search(page_, std::regex("<[a-z][^<>]* src=")));
  EXPECT_THAT(page_,
              AllOf(Not(HasSubstr("url(")), Not(HasSubstr("<link")), Not(HasSubstr("@import"))));
  EXPECT_THAT(page_, HasSubstr("content=\"default-src 'none'; script-src 'unsafe-inline'"));
}

TEST_F(ReportPage, CanBeReadWithoutSight) {
  EXPECT_THAT(page_, AllOf(HasSubstr("<html lang=\"en\">"), HasSubstr("<main"), HasSubstr("<nav"),
                           HasSubstr("<header>"), HasSubstr("<footer>")));
  EXPECT_EQ(count(page_, "<h1>"), 1U);
  EXPECT_EQ(count(page_, "<figure"), 7U);
  EXPECT_EQ(count(page_, "role=\"img\" aria-labelledby="), 7U);
  EXPECT_EQ(count(page_, "<table"), count(page_, "<caption>"));
  EXPECT_EQ(count(page_, "<th"), count(page_, "<th scope=") + count(page_, "<thead>"));
  // Every reference has its target, and no name is given twice.
  const std::regex id(" id=\"([^\"]*)\"");
  std::set<std::string> ids;
  for (std::sregex_iterator it(page_.begin(), page_.end(), id), end; it != end; ++it) {
    EXPECT_TRUE(ids.insert((*it)[1]).second) << (*it)[1];
  }
  const std::regex to("(href=\"#|aria-labelledby=\"|aria-describedby=\"|data-copies=\")([^\"]*)\"");
  for (std::sregex_iterator it(page_.begin(), page_.end(), to), end; it != end; ++it) {
    EXPECT_TRUE(ids.contains((*it)[2])) << (*it)[0];
  }
}

TEST_F(ReportPage, HoldsSpecificationsRowsAndTheLibrary) {
  EXPECT_EQ(count(page_, "class=\"specification\""), 7U);
  EXPECT_THAT(page_, AllOf(HasSubstr("<script>/*vega*/</script>"), HasSubstr("/*embed*/"),
                           HasSubstr("licence &lt;text&gt;")));
  const std::string begin = "<script type=\"application/json\" id=\"rows\">";
  const auto from = page_.find(begin) + begin.size();
  const Json rows = Json::parse(page_.substr(from, page_.find("</script>", from) - from));
  EXPECT_EQ(rows.size(), 7U);
  EXPECT_EQ(rows["weight-gains-1"].size(), 8U);
}

TEST_F(ReportPage, WithoutTheLibraryHasAllTablesAndSaysSo) {
  const std::string bare = report::to_page(report_, {});
  EXPECT_EQ(count(bare, "<table"), count(page_, "<table"));
  EXPECT_EQ(count(bare, "<details open>\n<summary>Table: "), 7U);
  EXPECT_THAT(bare, AllOf(HasSubstr("built without Vega"), HasSubstr("tools/setup.sh")));
  EXPECT_EQ(count(bare, "role=\"img\""), 0U);
}

TEST_F(ReportPage, ShowsTheFrontOfRaces) {
  folder_.write("search.json", search_document());
  const std::string page = report::to_page(report::build_report(folder_.read()), library_);
  EXPECT_EQ(count(page, "<figure"), 8U);
  EXPECT_THAT(page, AllOf(HasSubstr("<a href=\"#measured-front\">Measured front</a>"),
                          HasSubstr("<table id=\"races\">"), HasSubstr("<figure id=\"front-1\">"),
                          HasSubstr("data-table=\"front-points-1\"")));
}

TEST_F(ReportPage, IsTheSameWheneverItIsMade) {
  const report::Report again = report::build_report(folder_.read(), {.title = kOddName});
  EXPECT_EQ(report::to_page(again, library_), page_);
}

}  // namespace
}  // namespace espalier::testing
