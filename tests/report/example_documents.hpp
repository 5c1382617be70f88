// Documents of one small model as the commands write them, with a name that needs escaping.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "espalier/report/documents.hpp"
#include "espalier/support/json.hpp"
#include "support/temp_folder.hpp"

namespace espalier::testing {

/// Would end a script, a tag, an attribute and an entity.
inline const std::string kOddName = "a<b & \"c\" 'd' </script><img src=x onerror=alert(1)>";

Json profile_document();
Json plan_document(const std::vector<std::pair<int, double>>& weights, int bias_depth);
Json training_document(const Json& plan, int seed, double accuracy, double loss);
Json inspect_document();
Json compile_document(const Json& plan);
Json check_document();
/// What a measured search of three budgets writes: the plan of the first is the additive optimum
/// and raced alone, that of the second has a rate of its own, that of the third gains less than it.
Json search_document();

/// A folder with all of them: four updates trained with two seeds each, and one plan.
class ExampleFolder {
 public:
  ExampleFolder();
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }
  void write(const std::string& name, const Json& document) const;
  [[nodiscard]] report::Documents read() const;

 private:
  TempFolder folder_;
};

}  // namespace espalier::testing
