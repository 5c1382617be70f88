#include "espalier/train/recipe.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace espalier::train {

Status check(const Recipe& r) {
  std::vector<std::string> problems;
  const auto require = [&](bool holds, std::string text) {
    if (!holds) problems.push_back(std::move(text));
  };
  require(r.epochs >= 1 && r.epochs <= 100000,
          fmt::format("--epochs {} must lie in 1..100000", r.epochs));
  require(r.batch >= 1 && r.batch <= 65536,
          fmt::format("--batch {} must lie in 1..65536", r.batch));
  // A float holds it on the device.
  require(
      std::isfinite(static_cast<float>(r.learning_rate)) && r.learning_rate >= 0,
      fmt::format("--lr {} must be a number of at least 0 that a float holds", r.learning_rate));
  require(r.head_epochs >= 0 && (r.epochs < 1 || r.head_epochs < r.epochs),
          fmt::format("--head-epochs {} must lie in 0..{}, fewer than all epochs", r.head_epochs,
                      r.epochs - 1));
  const int left = r.epochs - std::max(0, r.head_epochs);
  require(std::isfinite(r.warmup_epochs) && r.warmup_epochs >= 0 &&
              (left < 1 || r.warmup_epochs <= left),
          fmt::format("--warmup {} must lie in 0..{}, the number of epochs{}", r.warmup_epochs,
                      left, r.head_epochs > 0 ? " behind those of the head" : ""));
  require(r.clip >= 0 && r.clip <= 127, fmt::format("--clip {} must lie in 0..127", r.clip));
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

Status check_on_device(const Recipe& r) {
  if (r.qas) return Ok{};
  return Error{ErrorKind::kUsage,
               "--no-qas: the device always scales gradients; use --numerics simulation"};
}

std::string_view schedule_name(Schedule schedule) {
  switch (schedule) {
    case Schedule::kStandard:
      return "standard";
    case Schedule::kPublished:
      return "published";
    case Schedule::kConstant:
      return "constant";
  }
  return "";
}

Result<Schedule> schedule_of(std::string_view name, std::string_view where) {
  for (const Schedule schedule : {Schedule::kStandard, Schedule::kPublished, Schedule::kConstant}) {
    if (name == schedule_name(schedule)) return schedule;
  }
  return Error{
      ErrorKind::kBadInput,
      fmt::format("{}: schedule '{}' is none of standard, published and constant", where, name)};
}

Json to_json(const Recipe& r) {
  Json json{{"epochs", r.epochs},
            {"batch", r.batch},
            {"learning_rate", r.learning_rate},
            {"warmup_epochs", r.warmup_epochs},
            {"schedule", schedule_name(r.schedule)},
            {"qas", r.qas},
            {"seed", r.seed}};
  if (r.head_epochs > 0) json["head_epochs"] = r.head_epochs;
  if (r.clip > 0) json["clip"] = r.clip;
  return json;
}

Result<Recipe> recipe_from_json(const Json& json, std::string_view where) {
  Recipe r;
  ESPALIER_TRY(r.epochs, json_field<int>(json, "epochs", where));
  ESPALIER_TRY(r.batch, json_field<int>(json, "batch", where));
  ESPALIER_TRY(r.learning_rate, json_field<double>(json, "learning_rate", where));
  ESPALIER_TRY(r.warmup_epochs, json_field<double>(json, "warmup_epochs", where));
  if (json.contains("schedule")) {
    ESPALIER_TRY(const auto schedule, json_field<std::string>(json, "schedule", where));
    ESPALIER_TRY(r.schedule, schedule_of(schedule, where));
  }
  ESPALIER_TRY(r.qas, json_field<bool>(json, "qas", where));
  if (json.contains("head_epochs")) {
    ESPALIER_TRY(r.head_epochs, json_field<int>(json, "head_epochs", where));
  }
  if (json.contains("clip")) {
    ESPALIER_TRY(r.clip, json_field<int>(json, "clip", where));
  }
  ESPALIER_TRY(const std::int64_t seed, json_field<std::int64_t>(json, "seed", where));
  r.seed = static_cast<std::uint64_t>(seed);
  if (const Status sound = check(r); !sound.ok()) {
    return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, sound.error().message())};
  }
  return r;
}

float learning_rate_at(const Recipe& recipe, std::int64_t step, std::int64_t steps,
                       std::int64_t steps_per_epoch) {
  const double peak = recipe.learning_rate * recipe.batch / 256.0;
  const double warmup = recipe.warmup_epochs * static_cast<double>(steps_per_epoch);
  // Of all steps: those of the device need not end with an epoch.
  const std::int64_t of_the_head = recipe.head_epochs * steps / recipe.epochs;
  if (step < of_the_head) return static_cast<float>(peak);
  steps -= of_the_head;
  const auto at = static_cast<double>(step - of_the_head);
  if (recipe.schedule == Schedule::kPublished) {
    if (at < warmup) return static_cast<float>(peak * at / warmup);
    const double share = (at - warmup) / static_cast<double>(steps);
    return static_cast<float>(peak * 0.5 * (1 + std::cos(std::numbers::pi * share)));
  }
  if (at < warmup) return static_cast<float>(peak * std::min(1.0, (at + 1) / warmup));
  if (recipe.schedule == Schedule::kConstant) return static_cast<float>(peak);
  const double share = (at - warmup) / std::max(1.0, static_cast<double>(steps) - warmup);
  return static_cast<float>(peak * 0.5 * (1 + std::cos(std::numbers::pi * share)));
}

}  // namespace espalier::train
