// Trains a plan in device numerics: sample by sample on an Engine, with the frozen prefix taken
// from a sample store. The same arguments give the same bytes, and those the device would compute.
#pragma once

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/engine/gradient_use.hpp"
#include "espalier/engine/replay.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::engine {

/// How samples come to a device, and what it keeps of them to train on again.
struct Stream {
  int classes_in_turn = 0;        ///< so many classes, in all their epochs, then the next; 0: mixed
  std::int64_t replay_bytes = 0;  ///< of a memory that holds at least one sample; 0: none
  int replays = 2;                ///< steps from that memory behind each new sample

  /// Steps that a new sample makes, those from the memory included.
  [[nodiscard]] int steps_of_sample() const { return replay_bytes > 0 ? 1 + replays : 1; }
};

/// Trains `engine` on `training` and evaluates it on `test`, both at any cut up to the plan's
/// training_cut(). `network` may have another head than the program. The recipe's batch must be the
/// program's accumulate: so many samples make one update. The device applies quantisation-aware
/// scaling always. An epoch of the result is one pass over samples that come mixed, and with
/// Stream::classes_in_turn one over those of the classes whose turn it is. Steps from the memory
/// count as the recipe's steps do, and their losses do not show. kInterrupted when the user asks to
/// stop. `watch`, when given, looks at some of the new samples.
Result<train::TrainResult> train(Engine& engine, const compiler::Program& program,
                                 const train::Network& network, const plan::UpdatePlan& plan,
                                 const train::SampleStore& training, const train::SampleStore& test,
                                 const train::Recipe& recipe, const train::TrainOptions& options,
                                 GradientWatch* watch = nullptr, const Stream& stream = {});

}  // namespace espalier::engine
