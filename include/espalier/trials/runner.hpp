// Runs many trials on the same samples: frozen prefixes are computed once and shared, finished
// trials come from a store and go there. Results depend neither on the number of threads nor on
// memory, and not on which process computed them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/data/samples.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/trials/store.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::trials {

/// One of `count` disjoint parts of any list of trials. A trial belongs to the same part in every
/// list, so that lists may grow.
struct Shard {
  int index = 0;
  int count = 1;
};

struct RunOptions {
  int jobs = 1;                              ///< threads
  Bytes cache_limit{std::int64_t{2} << 30};  ///< of all samples held; beyond: recompute
  const Store* store = nullptr;              ///< of finished trials; null = none
  Shard shard;
  std::string title = "trials";  ///< of the progress line
  /// Where these trials are a part of a longer work: those before them, and all that are planned,
  /// for saying where it stopped.
  std::size_t trials_before = 0;
  std::size_t trials_planned = 0;
  bool announce = true;         ///< log what came from the store, progress, what prefixes took
  bool finish_running = false;  ///< trials that run when the user asks to stop; else they stop too
  std::string or_else;          ///< where a store keeps what is done: another use of that, to tell
  ProgressOptions progress;
};

/// What each trial reached, in the order of `trials`; nullopt for those of other shards. Trials
/// that are listed twice are computed once. A damaged record is reported and its trial run again; a
/// trial that another process is at is left to it, while there are others. Errors: kInterrupted
/// when the user asks to stop, kCannotWrite when the store takes nothing more; the store then holds
/// what was finished and the message says how much. Others as Training::make().
Result<std::vector<std::optional<train::TrainResult>>> run_trials(const train::Network& network,
                                                                  const data::Samples& training,
                                                                  const data::Samples& test,
                                                                  const std::vector<Trial>& trials,
                                                                  const RunOptions& options);

/// One trial with everything it leaves behind.
struct FinishedTrial {
  Training training;  ///< has run
  train::TrainResult result;
  Bytes prefix;  ///< of the samples held
};

/// Trains one trial, on all threads. `train_options` gives callbacks; its other members are set
/// here. The store is not asked.
Result<FinishedTrial> run_trial(const train::Network& network, const data::Samples& training,
                                const data::Samples& test, const Trial& trial,
                                const RunOptions& options,
                                const train::TrainOptions& train_options);

}  // namespace espalier::trials
