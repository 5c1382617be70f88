// Trains a plan by a recipe and says what it reached. A trial is a pure function of (model, data,
// recipe, plan): the same arguments give the same bytes, whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/confusion.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"

namespace espalier::train {

/// Mean cross entropy and share of hits over a set of samples.
struct Evaluation {
  double loss = 0;
  double accuracy = 0;  ///< in [0, 1]
  Confusion confusion;  ///< of the same samples; empty for the running figures of an epoch
};

struct EpochResult {
  Evaluation train;  ///< while training, before each step
  std::optional<Evaluation> test;
};

/// What was reached once the first `classes` classes had come.
struct Turn {
  int classes = 0;
  Evaluation test;
};

struct TrainResult {
  std::vector<EpochResult> epochs;  ///< those completed
  Evaluation test;                  ///< after the last one; meaningless when diverged
  bool diverged = false;            ///< a mean loss beyond 10^4, or a parameter out of range
  std::int64_t diverged_step = -1;
  std::int64_t images = 0;  ///< training images processed
  /// When classes come in turn: on all test samples, after the last epoch of each turn.
  std::vector<Turn> turns;
  std::vector<int> kept;  ///< with a replay memory: samples in it, by class
  double seconds = 0;     ///< in training steps alone
};

struct TrainOptions {
  int jobs = 1;
  bool test_every_epoch = false;
  bool finish = false;  ///< even when the user asks to stop
  /// Called after every step with the number of images it held; null for none.
  std::function<void(std::int64_t)> on_images;
  std::function<void(int, const EpochResult&)> on_epoch;
};

/// The order in which an epoch visits `samples` samples; the same in every numerics.
std::vector<std::uint32_t> epoch_order(const Recipe& recipe, int epoch, std::size_t samples);

/// False for a mean loss that no working network has, and for what is no number: logits of that
/// size mean that training has blown up.
bool usable_loss(double loss);

/// Trains `session` on `training` and evaluates it on `test`; both stores must be at
/// session.cut(). kInterrupted when the user asks to stop.
Result<TrainResult> train(Session& session, const SampleStore& training, const SampleStore& test,
                          const Recipe& recipe, const TrainOptions& options);

/// Evaluates a session on a store at its cut.
Evaluation evaluate(const Session& session, const SampleStore& store, int jobs);

/// Runs the forward pass on a store at the session's cut, and gives each sample's logits to
/// `visit`, from any of the threads.
void visit_logits(const Session& session, const SampleStore& store, int jobs,
                  const std::function<void(std::size_t sample, std::span<const float>)>& visit);

}  // namespace espalier::train
