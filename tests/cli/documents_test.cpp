// Every document that the program reads, with every member replaced by what does not belong there:
// numbers that do not fit, other types, odd texts. A wrong document ends with its exit code and
// diagnostics that name the file, never with a crash.
#include "espalier/report/documents.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "espalier/contribution/profile.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/device/check.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/report/build.hpp"
#include "espalier/selection/selection.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Replacements as JSON text: not all of them are values that the library could write.
const std::vector<std::string> kOddValues{
    "1e999", "-1e999",   "1e308", "-1", "0.5",          "99999999999999999999", "9007199254740993",
    "null",  "\"text\"", "[]",    "{}", "\"\xff\xfe\"", "\"\\ud800\"",          "[[[[1]]]]"};

class DocumentsTest : public Workspace {
 protected:
  DocumentsTest() { make_model(); }

  /// Pointers to every member of a document, but of a long list only to the first elements.
  static void list_members(const Json& value, const Json::json_pointer& at,
                           std::vector<Json::json_pointer>& members) {
    if (!at.empty()) members.push_back(at);
    if (value.is_object()) {
      for (const auto& [key, member] : value.items()) list_members(member, at / key, members);
    } else if (value.is_array()) {
      for (std::size_t i = 0; i < std::min<std::size_t>(value.size(), 1); ++i) {
        list_members(value[i], at / i, members);
      }
    }
  }

  /// Replaces each member of the document `name` by each odd value and reads it with `read`, which
  /// must not throw. A number that nothing holds is bad input, and so says the program, run as
  /// `command`, too.
  void survives(const std::string& name, const std::function<Status()>& read,
                const Arguments& command) const {
    const std::string good = this->read(name);
    std::vector<Json::json_pointer> members;
    const Json document = Json::parse(good);
    list_members(document, Json::json_pointer(), members);
    ASSERT_GT(members.size(), 5U);
    constexpr const char* kMark = "\"@replaced@\"";
    std::size_t refused = 0;
    std::string odd;
    for (const Json::json_pointer& member : members) {
      Json marked = document;
      marked[member] = "@replaced@";
      const std::string text = marked.dump();
      for (const std::string& value : kOddValues) {
        SCOPED_TRACE(name + " " + member.to_string() + " = " + value);
        odd = text;
        odd.replace(odd.find(kMark), std::string(kMark).size(), value);
        write(name, odd);
        const Status status = read();
        if (!status.ok()) ++refused;
        if (value != "1e999") continue;
        ASSERT_FALSE(status.ok());
        EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
        EXPECT_THAT(status.error().message(),
                    AllOf(HasSubstr(name + ":1:"), HasSubstr("the number 1e999 is out of range")));
      }
      odd = text;
      odd.replace(odd.find(kMark), std::string(kMark).size(), "1e999");
    }
    EXPECT_GT(refused, 3 * members.size());
    write(name, odd);
    fail(65, command, {name + ":1:"});
  }

  /// model.onnx.
  [[nodiscard]] ir::Graph graph() const { return *import_model(path("model.onnx")); }
};

template <typename T>
Status status_of(const Result<T>& result) {
  if (!result.ok()) return result.error();
  return Ok{};
}

TEST_F(DocumentsTest, Plans) {
  make_plan("plan.json", {"--last", "1"});
  survives("plan.json", [&] { return status_of(plan::load_plan(path("plan.json"), graph())); },
           {"plan", "show", "plan.json", "--model", "model.onnx"});
}

TEST_F(DocumentsTest, Profiles) {
  make_idx("train", 60);
  make_profile("profile.json");
  const auto read = [&]() -> Status {
    ESPALIER_TRY(const Json document,
                 espalier::read_json(path("profile.json"), contribution::kProfileSchema));
    ESPALIER_TRY(const auto profile,
                 contribution::profile_from_json(document, graph(), path("profile.json").string()));
    selection::SelectionOptions options;
    options.solver = selection::SolverKind::kExact;
    return status_of(selection::select(graph(), profile, Bytes{1024}, options));
  };
  survives("profile.json", read,
           {"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB"});
}

TEST_F(DocumentsTest, Devices) {
  make_plan("plan.json", {"--head-only"});
  write("device.json", R"({"schema": "espalier.device/1", "name": "part", "isa": "rv32imf",
    "sram_bytes": 262144, "flash_bytes": 1000000, "clock_hz": 1000000,
    "sram_base": "0x20000000", "flash_base": "0x08000000"})");
  survives("device.json", [&] { return status_of(cost::load_device(path("device.json"))); },
           {"compile", "model.onnx", "--plan", "plan.json", "--classes", "4", "--device",
            "device.json", "--json", "-"});
}

TEST_F(DocumentsTest, PublishedNotation) {
  write("notation.json", R"({"n_bias_update": 4, "manual_weight_idx": [4, 6],
    "weight_update_ratio": [1.0, 0.25], "n_weight_update": 2,
    "weight_select_criteria": "magnitude+", "pw1_weight_only": 0})");
  const auto read = [&]() -> Status {
    ESPALIER_TRY(const Json document,
                 parse_json(this->read("notation.json"), path("notation.json").string()));
    return status_of(plan::from_published(graph(), document));
  };
  survives("notation.json", read,
           {"plan", "import", "model.onnx", "--published", "notation.json", "--out", "plan.json"});
}

TEST_F(DocumentsTest, CompiledPrograms) {
  make_plan("plan.json", {"--head-only"});
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--target", "rv32imf", "--out", "c"});
  // Without a compiler it ends once the folder is understood.
  device::CheckOptions options;
  options.host_compiler = options.target_compiler = "no-such-cc";
  survives("c/program.json", [&] { return status_of(device::check(path("c"), options)); },
           {"check", "c"});
}

// A report reads what other commands write.
TEST_F(DocumentsTest, ResultsOfSweeps) {
  make_idx("train", 24);
  write("sweep.json", R"({"schema": "espalier.sweep/1", "name": "one",
    "models": [{"name": "m", "file": "model.onnx"}],
    "datasets": [{"name": "d", "train": "idx:train-images,train-labels",
                  "test": "idx:train-images,train-labels"}],
    "training": {"seeds": [0], "numerics": ["device"], "recipe": {"epochs": 1}}})");
  succeed({"sweep", "sweep.json", "--out", "swept", "--json", "results.json"});
  const auto read = [&]() -> Status {
    ESPALIER_TRY(const report::Documents documents, report::read_documents({path("results.json")}));
    static_cast<void>(report::build_report(documents));
    return Ok{};
  };
  survives("results.json", read, {"report", "results.json", "--out", "page.html"});
}

TEST_F(DocumentsTest, ModelsWithNamesThatAreNoUtf8) {
  make_idx("train", 60);
  const std::string odd = "net\xff\xc3.onnx";
  std::filesystem::copy_file(path("model.onnx"), path(odd));
  std::filesystem::rename(path("train-images"), path("pictures\xfe"));
  const std::string data = "idx:pictures\xfe,train-labels";
  EXPECT_EQ(report({"inspect", odd})["model"]["name"], "net\xef\xbf\xbd\xef\xbf\xbd");
  Arguments analyze = Arguments{"analyze", odd, "--out", "profile.json"} + kAnalyzeTiny;
  *std::find(analyze.begin(), analyze.end(), "idx:train-images,train-labels") = data;
  succeed(analyze);
  succeed({"search", "profile.json", "--model", odd, "--budget", "1KiB", "--out", "plan.json",
           "--json", "search.json"});
  succeed({"plan", "show", "plan.json", "--model", odd, "--json", "show.json"});
  succeed({"train", odd, "--plan", "plan.json", "--train", data, "--test", data, "--epochs", "1",
           "--json", "train.json", "--export", "tuned.onnx"});
  succeed({"compile", odd, "--plan", "plan.json", "--out", "c", "--json", "compile.json", "--trace",
           "trace.json"});
  for (const char* name : {"profile.json", "plan.json", "search.json", "show.json", "train.json",
                           "compile.json", "trace.json", "c/program.json", "c/plan.json"}) {
    EXPECT_NO_THROW(static_cast<void>(read_json(name))) << name;
  }
}

}  // namespace
}  // namespace espalier::testing
