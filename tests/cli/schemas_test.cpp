// The JSON Schemas of reports/schemas and the documents that commands write agree.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "espalier/support/file.hpp"
#include "sweep_workspace.hpp"

namespace espalier::testing {
namespace {

namespace fs = std::filesystem;
using Plain = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;

// What a schema has against a document; empty for nothing.
std::string problem(const std::string& name, const Plain& document) {
  const fs::path folder = ESPALIER_SCHEMAS;
  const auto load = [&](const std::string& file) {
    return std::make_unique<Plain>(Plain::parse(*read_file(folder / file)));
  };
  const std::string file = name + ".json";
  if (!fs::exists(folder / file)) return "there is no schema " + file;
  const auto text = load(file);
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(
          Adapter(*text), schema,
          [&](const std::string& uri) -> const Plain* {
            return load(fs::path(uri).filename().string()).release();
          },
          [](const Plain* fetched) { delete fetched; });
  valijson::ValidationResults results;
  if (valijson::Validator().validate(schema, Adapter(document), &results)) return "";
  std::string words = "invalid";
  for (const auto& error : results) {
    words += "\n";
    for (const std::string& step : error.context) words += step;
    words += ": " + error.description;
  }
  return words;
}

// espalier.plan/1 is described by plan.json.
std::string schema_name(const Plain& document) {
  const std::string schema = document.value("schema", "");
  const std::size_t dot = schema.find('.');
  return schema.substr(dot + 1, schema.find('/') - dot - 1);
}

class SchemasTest : public SweepWorkspace {
 protected:
  // Checks a document, and that one with another member or of another version is refused.
  void check(const std::string& file) {
    const Plain document = Plain::parse(read(file));
    const std::string name = schema_name(document);
    EXPECT_EQ(problem(name, document), "") << file;
    if (++seen_[name] > 1) return;
    Plain more = document;
    more["extra"] = 1;
    EXPECT_NE(problem(name, more), "") << name;
    Plain other = document;
    other["schema"] = "espalier." + name + "/2";
    EXPECT_NE(problem(name, other), "") << name;
  }

  std::map<std::string, int> seen_;
};

TEST_F(SchemasTest, DescribeWhatASweepAndItsReportWrite) {
  const std::string out = fresh();
  succeed(sweep(out));
  succeed(sweep(out) + Arguments{"--dry-run", "--json", out + "/outline.json"});
  succeed({"report", out, "--out", out + "/report", "--no-page"});
  for (const auto& entry : fs::recursive_directory_iterator(path(out))) {
    if (entry.path().extension() != ".json") continue;
    check(fs::relative(entry.path(), path(".")).string());
  }
  write("plain.json", config().dump());
  check("plain.json");
  const std::vector<std::string> expected{"contributions", "inspect", "plan",
                                          "report",        "sweep",   "sweep_outline",
                                          "sweep_results", "trial"};
  std::vector<std::string> names;
  for (const auto& [name, count] : seen_) names.push_back(name);
  EXPECT_EQ(names, expected);
}

TEST_F(SchemasTest, DescribeTheReportsOfThisRepository) {
  int count = 0;
  const fs::path schemas = ESPALIER_SCHEMAS;
  for (const auto& entry : fs::recursive_directory_iterator(schemas.parent_path())) {
    const fs::path& file = entry.path();
    if (file.extension() != ".json" || file.parent_path() == schemas) continue;
    const Plain document = Plain::parse(*read_file(file));
    EXPECT_EQ(problem(schema_name(document), document), "") << file;
    ++count;
  }
  EXPECT_GT(count, 0);
}

TEST_F(SchemasTest, DescribeWhatOtherCommandsWrite) {
  make_profile();
  check("profile.json");
  const Arguments data{"--train", "idx:train-images,train-labels", "--epochs", "1"};
  succeed(Arguments{"analyze", "model.onnx", "--out", "fisher.json", "--fisher", "--numerics",
                    "integer", "--layers", "6", "--ratios", "1", "--batch", "4"} +
          data);
  check("fisher.json");
  for (const char* solver : {"exact", "evolution"}) {
    succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB", "--solver",
             solver, "--out", "plan.json"});
    check("plan.json");
  }
  succeed(Arguments{"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB", "--out",
                    "measured.json", "--measure", "3", "--race-seeds", "2"} +
          data);
  check("measured.json");
  for (const char* numerics : {"simulation", "device", "integer"}) {
    Arguments train{
        "train",  "model.onnx", "--plan",     "plan.json", "--test", "idx:test-images,test-labels",
        "--json", "train.json", "--numerics", numerics};
    if (numerics == std::string("simulation")) {
      train = train + Arguments{"--export", "tuned.onnx", "--test-every-epoch", "--lr", "auto"};
    }
    if (numerics == std::string("integer")) {
      train = train + Arguments{"--classes-in-turn", "2", "--replay", "20KiB", "--store", "trials"};
    }
    succeed(train + data);
    check("train.json");
  }
}

}  // namespace
}  // namespace espalier::testing
