#include "espalier/codegen/recorded_steps.hpp"

#include <fmt/format.h>

#include <cstring>

#include "espalier/support/rng.hpp"

namespace espalier::codegen {

Samples seeded_samples(std::uint64_t seed, int count, std::int64_t input_bytes, int classes) {
  Rng rng{seed, 0x434845434B};  // "CHECK"
  Samples samples;
  samples.inputs.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(input_bytes));
  for (std::int8_t& x : samples.inputs) x = static_cast<std::int8_t>(rng.below(256));
  for (int i = 0; i < count; ++i) {
    samples.labels.push_back(static_cast<int>(rng.below(static_cast<std::uint64_t>(classes))));
  }
  return samples;
}

std::uint32_t state_hash(std::span<const std::byte> block) {
  std::uint32_t hash = 2166136261U;
  for (std::size_t at = 0; at + 4 <= block.size(); at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, block.data() + at, sizeof word);
    hash = (hash ^ word) * 16777619U;
  }
  return hash;
}

Json to_json(const RecordedSteps& recorded) {
  Json steps = Json::array();
  for (const RecordedStep& step : recorded.steps) {
    steps.push_back({{"loss_bits", step.loss}, {"state_hash", step.state}});
  }
  return {{"seed", recorded.seed}, {"steps", std::move(steps)}};
}

Result<RecordedSteps> recorded_steps_from_json(const Json& json, const std::string& where) {
  RecordedSteps recorded;
  ESPALIER_TRY(const auto seed, json_field<std::int64_t>(json, "seed", where));
  recorded.seed = static_cast<std::uint64_t>(seed);
  ESPALIER_TRY(const Json steps, json_field<Json>(json, "steps", where));
  if (!steps.is_array() || steps.empty() || steps.size() > 1000) {
    return Error{ErrorKind::kBadInput,
                 where + ": 'steps' must list 1 to 1000 steps; compile the folder again"};
  }
  for (const Json& step : steps) {
    ESPALIER_TRY(const auto loss, json_field<std::int64_t>(step, "loss_bits", where));
    ESPALIER_TRY(const auto state, json_field<std::int64_t>(step, "state_hash", where));
    if (loss < 0 || loss > UINT32_MAX || state < 0 || state > UINT32_MAX) {
      return Error{ErrorKind::kBadInput,
                   where + ": 'steps' must hold numbers of 32 bits; compile the folder again"};
    }
    recorded.steps.push_back({static_cast<std::uint32_t>(loss), static_cast<std::uint32_t>(state)});
  }
  return recorded;
}

}  // namespace espalier::codegen
