#include "testing/published_plans.hpp"

#include <string>

#include "espalier/support/file.hpp"

namespace espalier::testing {

std::filesystem::path published_plan_file(std::string_view model) {
  return std::filesystem::path(ESPALIER_PUBLISHED_PLANS) / (std::string(model) + ".json");
}

Json published_plan(std::string_view model) {
  const std::filesystem::path file = published_plan_file(model);
  return parse_json(read_file(file).value(), file.string()).value();
}

}  // namespace espalier::testing
