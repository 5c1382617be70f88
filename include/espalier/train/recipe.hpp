// How a plan is trained: everything but the data and the plan.
#pragma once

#include <cstdint>
#include <string_view>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::train {

/// How the learning rate goes over a training, behind epochs of the head alone: a linear rise, then
/// a cosine or none.
enum class Schedule {
  kStandard,   ///< the first step moves; the peak after the warm-up, the last step close to 0
  kPublished,  ///< as the published training code: the first step has rate 0, and the cosine
               ///< divides by all steps, so that it ends at the rate it has warm-up steps before
               ///< its end
  kConstant,   ///< the peak to the end, as firmware that knows no end
};

/// A clipped update changes a bias by at most this times as many of its own units as a weight of
/// its int8 steps: what these do to the sum of a channel at an input so far from its zero point.
inline constexpr int kBiasClip = 32;

struct Recipe {
  int epochs = 10;
  int batch = 64;              ///< samples per step
  double learning_rate = 0.1;  ///< for a batch of 256; scaled by batch / 256
  double warmup_epochs = 1;    ///< of the linear rise
  Schedule schedule = Schedule::kStandard;
  bool qas = true;         ///< quantisation-aware scaling
  int head_epochs = 0;     ///< of the epochs, the first so many train the head alone, at the peak
  int clip = 0;            ///< largest change of a weight by an update, in int8 steps; 0: any
  std::uint64_t seed = 0;  ///< of the head's start and of the order of samples

  bool operator==(const Recipe&) const = default;
};

/// kUsage when a field is out of range.
Status check(const Recipe& recipe);
/// kUsage for what only the simulation does.
Status check_on_device(const Recipe& recipe);

/// "standard" or "published", as options and documents have it.
std::string_view schedule_name(Schedule schedule);
/// kBadInput for a name that is neither; `where` begins the diagnostic.
Result<Schedule> schedule_of(std::string_view name, std::string_view where);

Json to_json(const Recipe& recipe);
/// A recipe without a schedule is older than the choice and has the standard one. kBadInput for
/// what is no recipe, and for one that check() refuses.
Result<Recipe> recipe_from_json(const Json& json, std::string_view where);

/// Learning rate of step `step` of `steps`, with `steps_per_epoch` steps an epoch.
float learning_rate_at(const Recipe& recipe, std::int64_t step, std::int64_t steps,
                       std::int64_t steps_per_epoch);

}  // namespace espalier::train
