// reports/schemas/report.json and what is written agree.
#include <gmock/gmock.h>

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "espalier/report/build.hpp"
#include "espalier/support/file.hpp"
#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using Adapter = valijson::adapters::NlohmannJsonAdapter;

class ReportSchema : public ::testing::Test {
 protected:
  ReportSchema() {
    const auto text = nlohmann::json::parse(*read_file(ESPALIER_SCHEMAS "/report.json"));
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(text), schema_);
  }
  /// Empty when the document is valid.
  std::string problem(const Json& document) {
    const auto plain = nlohmann::json::parse(json_text(document));
    valijson::ValidationResults results;
    if (valijson::Validator().validate(schema_, Adapter(plain), &results)) return "";
    std::string text = "invalid";
    for (const auto& error : results) text += "\n" + error.description;
    return text;
  }

 private:
  valijson::Schema schema_;
};

TEST_F(ReportSchema, HoldsForAWholeReport) {
  const ExampleFolder folder;
  EXPECT_EQ(problem(report::to_json(report::build_report(folder.read()))), "");
}

TEST_F(ReportSchema, HoldsForRaces) {
  const ExampleFolder folder;
  folder.write("search.json", search_document());
  EXPECT_EQ(problem(report::to_json(report::build_report(folder.read()))), "");
}

TEST_F(ReportSchema, RefusesWhatIsNoReport) {
  const ExampleFolder folder;
  const Json good = report::to_json(report::build_report(folder.read()));
  Json bad = good;
  bad["schema"] = "espalier.report/2";
  EXPECT_NE(problem(bad), "");
  bad = good;
  bad.erase("sections");
  EXPECT_NE(problem(bad), "");
  bad = good;
  bad["sections"][0]["tables"][0]["rows"][0][0] = Json::array();
  EXPECT_NE(problem(bad), "");
  bad = good;
  bad["extra"] = 1;
  EXPECT_NE(problem(bad), "");
}

}  // namespace
}  // namespace espalier::testing
