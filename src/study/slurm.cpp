#include "espalier/study/slurm.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace espalier::study {
namespace {

// Options in #SBATCH lines are split at spaces unless quoted.
std::string directive(const std::string& option, const std::string& value) {
  const bool plain = value.find_first_of(" \t\"\\'") == std::string::npos;
  std::string text = value;
  if (!plain) {
    text.clear();
    for (const char c : value)
      text += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    text = '"' + text + '"';
  }
  return fmt::format("#SBATCH --{}={}\n", option, text);
}

// Of a file that Slurm writes, in whose name it replaces what begins with a percent sign.
std::string log_file(const std::filesystem::path& folder, const std::string& name) {
  std::string text;
  for (const char c : (folder / "").string()) text += c == '%' ? "%%" : std::string(1, c);
  return text + name;
}

std::string script(const SweepConfig& config, const std::string& name, const std::string& log,
                   const std::string& more, const std::filesystem::path& work,
                   const std::string& command) {
  const SlurmOptions& slurm = config.slurm;
  std::string text = "#!/bin/sh\n" + directive("job-name", name) + directive("time", slurm.time) +
                     directive("cpus-per-task", std::to_string(slurm.cpus)) +
                     directive("mem", slurm.memory) + "#SBATCH --requeue\n" +
                     directive("output", log) + directive("open-mode", "append") +
                     directive("chdir", work.string());
  if (!slurm.partition.empty()) text += directive("partition", slurm.partition);
  return text + more + "exec " + command + "\n";
}

}  // namespace

SlurmScripts slurm_scripts(const SweepConfig& config, const std::string& command,
                           const std::filesystem::path& logs, const std::filesystem::path& work) {
  const SlurmOptions& slurm = config.slurm;
  const std::string with_jobs = fmt::format("{} --jobs {}", command, slurm.cpus);
  std::string array = fmt::format("0-{}", slurm.shards - 1);
  if (slurm.array_limit) array += fmt::format("%{}", *slurm.array_limit);
  return {
      script(config, config.name, log_file(logs, "shard-%a.log"), directive("array", array), work,
             fmt::format("{} --shard \"$SLURM_ARRAY_TASK_ID/{}\"", with_jobs, slurm.shards)),
      script(config, config.name + "-merge", log_file(logs, "merge.log"), "", work, with_jobs)};
}

}  // namespace espalier::study
