// What the host engine computed in the first steps of a program: kept with the C, so that `check`
// can hold the C against it and not only against the same C elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::codegen {

/// Inputs that a program trains on, one after the other, and their labels.
struct Samples {
  std::vector<std::int8_t> inputs;
  std::vector<int> labels;
};

/// Random samples: of the same seed, the same.
Samples seeded_samples(std::uint64_t seed, int count, std::int64_t input_bytes, int classes);

struct RecordedStep {
  std::uint32_t loss = 0;   ///< its bits
  std::uint32_t state = 0;  ///< state_hash() after the step
  friend bool operator==(const RecordedStep&, const RecordedStep&) = default;
};

/// Steps on seeded_samples(seed, steps), from reset on, with a change of turn behind each but the
/// last where there are turns and no gradients wait. The last step trains the head alone.
struct RecordedSteps {
  std::uint64_t seed = 0;
  std::vector<RecordedStep> steps;
};

/// Of a state block, whose bytes are a multiple of four. The driver of `check` computes the same.
std::uint32_t state_hash(std::span<const std::byte> block);

Json to_json(const RecordedSteps& recorded);
/// kBadInput for what to_json() does not write. `where`: the document, for messages.
Result<RecordedSteps> recorded_steps_from_json(const Json& json, const std::string& where);

}  // namespace espalier::codegen
