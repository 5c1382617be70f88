// Runs a sweep: contributions, searches and final trainings of every model with every dataset. All
// that takes time is trials in a store, so a sweep goes on wherever it was stopped, and any number
// of processes may work on it; what it writes follows from the trials alone.
//
//     OUT/trials/            the store
//     OUT/profiles/M.D.json  contributions of model M on dataset D, espalier.contributions/1
//     OUT/plans/M.D.P.json   every plan that was trained, espalier.plan/1
//     OUT/sweep.json         what came of it, espalier.sweep_results/1
//
// A sweep.json of another configuration, or of another version of Espalier, is renamed to
// sweep.other-options-DIGITS.json when a run begins, and all folders but the store likewise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/study/sweep_config.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/support/result.hpp"
#include "espalier/trials/runner.hpp"

namespace espalier::study {

inline constexpr std::string_view kSweepResultsSchema = "espalier.sweep_results/1";

struct SweepOptions {
  std::filesystem::path out;
  int jobs = 1;
  Bytes cache_limit{std::int64_t{2} << 30};
  trials::Shard shard;  ///< a part of a sweep writes no results
  ProgressOptions progress;
};

/// Trials of a sweep that are run together.
struct SweepGroup {
  std::string what;         ///< "contributions of mcunet-5fps on cifar10"
  std::int64_t trials = 0;  ///< distinct ones
  std::int64_t stored = 0;  ///< of these, finished before
  double seconds = 0;       ///< for the others, with the threads of the options
  bool exact = true;        ///< false while plans are still to be found: then an estimate
};

/// What a sweep would do. Nothing is run, and nothing written but an empty store.
Result<std::vector<SweepGroup>> outline_sweep(const SweepConfig& config,
                                              const SweepOptions& options);

/// Runs what is missing and, for a whole sweep, writes the results and returns sweep.json. A shard
/// first does its part of all contributions, then helps with what others left of them, then does
/// its part of the trainings; it returns null. Files that are missing are found before anything is
/// run. Errors: those of models, data and trials; kInterrupted, after the trials that ran are
/// finished, and kCannotWrite, with everything finished kept.
Result<Json> run_sweep(const SweepConfig& config, const SweepOptions& options);

}  // namespace espalier::study
