// A page in headless Chromium: every figure is drawn, at any width, without an error.
#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "espalier/report/build.hpp"
#include "espalier/report/page.hpp"
#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What the browser makes of a page: its document once scripts have run.
std::string rendered(const std::filesystem::path& page, int width) {
  const TempFolder profile;
  const std::string command =
      "timeout 120 chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=20000"
      " --user-data-dir=" +
      profile.path().string() + " --window-size=" + std::to_string(width) +
      ",900 --dump-dom file://" + page.string() + " 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"),
                                                             &::pclose);
  std::string text;
  std::array<char, 65536> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
    text.append(buffer.data(), n);
  }
  return text;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

class ReportBrowser : public ::testing::TestWithParam<int> {};

TEST_P(ReportBrowser, DrawsEveryFigure) {
  if (std::system("command -v chromium >/dev/null") != 0) {
    GTEST_SKIP() << "needs chromium; tools/setup.sh --slow installs it";
  }
  const report::DrawingLibrary library = report::built_in_library();
  if (!library.present()) GTEST_SKIP() << "built without Vega-Lite; run tools/setup.sh";
  const ExampleFolder folder;
  folder.write("search.json", search_document());
  std::string page = report::to_page(report::build_report(folder.read()), library);
  // The page tells how wide it is: nothing may stand out of the window.
  page.insert(page.rfind("</body>"),
              "<script>const look = setInterval(() => { if (document.documentElement.dataset.drawn)"
              " { clearInterval(look); document.body.dataset.excess ="
              " document.documentElement.scrollWidth - document.documentElement.clientWidth; } },"
              " 50);</script>");
  const TempFolder out;
  const std::string dom = rendered(out.write("report.html", page), GetParam());
  ASSERT_THAT(dom, HasSubstr("data-drawn=\"yes\""));
  EXPECT_EQ(count(dom, "data-state=\"drawn\""), 8U);
  EXPECT_THAT(dom, Not(HasSubstr("data-state=\"failed\"")));
  EXPECT_THAT(dom, HasSubstr("data-excess=\"0\""));
}

// Chromium makes no window narrower than 500.
INSTANTIATE_TEST_SUITE_P(Widths, ReportBrowser, ::testing::Values(500, 1280));

}  // namespace
}  // namespace espalier::testing
