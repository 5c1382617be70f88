// The update plan as a document: `espalier.plan/1`.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "espalier/plan/update_plan.hpp"
#include "espalier/support/json.hpp"

namespace espalier::plan {

inline constexpr std::string_view kPlanSchema = "espalier.plan/1";

/// The plan as `espalier.plan/1`, keys in a stable order, absent fields left out.
Json to_json(const UpdatePlan& plan);

/// What documents say a plan trains beside biases: conv and ratio of each update, and `turns` where
/// channels take some, without the channels.
Json updates_json(const UpdatePlan& plan);

/// Reads and validates a plan for a graph. kBadInput lists every problem of types or, when the
/// types are right, everything validate() finds; each is prefixed by `where`.
Result<UpdatePlan> from_json(const Json& document, const ir::Graph& graph,
                             std::string_view where = "plan");

/// from_json() of a file. Errors also as read_json().
Result<UpdatePlan> load_plan(const std::filesystem::path& path, const ir::Graph& graph);

/// SHA-256 of the file that save_plan() writes: what documents name a plan by.
std::string sha256_of(const UpdatePlan& plan);

/// Writes to_json() atomically; `-` is standard output.
Status save_plan(const std::filesystem::path& path, const UpdatePlan& plan);

}  // namespace espalier::plan
