// How a plan is trained: everything but the data and the plan.
#pragma once

#include <cstdint>
#include <string_view>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::train {

struct Recipe {
  int epochs = 10;
  int batch = 64;              ///< samples per step
  double learning_rate = 0.1;  ///< for a batch of 256; scaled by batch / 256
  double warmup_epochs = 1;    ///< linear rise, then cosine to 0
  bool qas = true;             ///< quantisation-aware scaling
  std::uint64_t seed = 0;      ///< of the head's start and of the order of samples

  bool operator==(const Recipe&) const = default;
};

/// kUsage when a field is out of range.
Status check(const Recipe& recipe);

Json to_json(const Recipe& recipe);
Result<Recipe> recipe_from_json(const Json& json, std::string_view where);

/// Learning rate of step `step` of `steps`, with `steps_per_epoch` steps an epoch.
float learning_rate_at(const Recipe& recipe, std::int64_t step, std::int64_t steps,
                       std::int64_t steps_per_epoch);

}  // namespace espalier::train
