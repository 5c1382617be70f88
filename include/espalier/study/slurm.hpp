// Job scripts that run a sweep on a Slurm cluster: an array of shards, and a job behind it that
// runs what they left and writes the results.
#pragma once

#include <filesystem>
#include <string>

#include "espalier/study/sweep_config.hpp"

namespace espalier::study {

struct SlurmScripts {
  std::string array;  ///< one task a shard; a task that is requeued goes on from the store
  std::string merge;  ///< to be submitted with a dependency on the array
};

/// `command` is the sweep's command line for a shell, but for --jobs, --shard and --engine; logs go
/// to the folder `logs`, and the jobs run in `work`.
SlurmScripts slurm_scripts(const SweepConfig& config, const std::string& command,
                           const std::filesystem::path& logs, const std::filesystem::path& work);

}  // namespace espalier::study
