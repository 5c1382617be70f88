// The notation in which the authors of MCUNetV3 published their plans:
//   {"n_bias_update": 22, "manual_weight_idx": [21, 24], "weight_update_ratio": [1, 0.25]}
#pragma once

#include <string_view>

#include "espalier/plan/update_plan.hpp"
#include "espalier/support/json.hpp"

namespace espalier::plan {

/// Reads the published notation. Beside lists it takes the spellings of the published
/// configuration files: "all" for n_bias_update, "21-24" for manual_weight_idx, "1-0.25" or one
/// number for weight_update_ratio. A ratio of null, or none at all, means all channels. Entries
/// whose ratio keeps no channel are dropped: they train, and cost, the bias alone. kBadInput lists
/// every problem; like the published code it rejects weights of convs without a trained bias.
Result<UpdatePlan> from_published(const ir::Graph& graph, const Json& document,
                                  std::string_view where = "published plan");

/// Writes the published notation with lists. Channels are not part of it: reading it back selects
/// them anew.
Json to_published(const UpdatePlan& plan);

}  // namespace espalier::plan
