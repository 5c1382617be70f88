#include "espalier/study/slurm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace espalier::study {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SweepConfig config() {
  SweepConfig config;
  config.name = "night";
  config.slurm = {.shards = 8,
                  .partition = "long",
                  .time = "1-00:00:00",
                  .cpus = 4,
                  .memory = "2G",
                  .array_limit = std::nullopt};
  return config;
}

TEST(Slurm, ScriptsSayWhatTheConfigurationAsks) {
  const SlurmScripts scripts = slurm_scripts(config(), "espalier sweep c.json", "/logs", "/work");
  for (const std::string& text : {scripts.array, scripts.merge}) {
    for (const char* line : {"#!/bin/sh\n", "--time=1-00:00:00\n", "--cpus-per-task=4\n",
                             "--mem=2G\n", "--partition=long\n", "#SBATCH --requeue\n",
                             "--chdir=/work\n", "\nexec espalier sweep c.json --jobs 4"}) {
      EXPECT_THAT(text, HasSubstr(line));
    }
  }
  EXPECT_THAT(scripts.array, HasSubstr("#SBATCH --array=0-7\n"));
  EXPECT_THAT(scripts.array, HasSubstr(" --shard \"$SLURM_ARRAY_TASK_ID/8\"\n"));
  EXPECT_THAT(scripts.merge, Not(HasSubstr("array")));
}

TEST(Slurm, TasksAtOnceAreLimitedAndSpacesQuoted) {
  SweepConfig limited = config();
  limited.slurm.array_limit = 3;
  limited.slurm.partition.clear();
  const SlurmScripts scripts = slurm_scripts(limited, "x", "/my logs", "/my \"work\"");
  EXPECT_THAT(scripts.array, HasSubstr("--array=0-7%3\n"));
  EXPECT_THAT(scripts.array, Not(HasSubstr("partition")));
  EXPECT_THAT(scripts.array, HasSubstr("--output=\"/my logs/shard-%a.log\"\n"));
  EXPECT_THAT(scripts.array, HasSubstr("--chdir=\"/my \\\"work\\\"\"\n"));
}

// Slurm would make the number of the task of the first one.
TEST(Slurm, FoldersOfLogsMayHavePercentSigns) {
  const SlurmScripts scripts = slurm_scripts(config(), "x", "/100%a/logs", "/100%a");
  EXPECT_THAT(scripts.array, HasSubstr("--output=/100%%a/logs/shard-%a.log\n"));
  EXPECT_THAT(scripts.merge, HasSubstr("--output=/100%%a/logs/merge.log\n"));
  EXPECT_THAT(scripts.merge, HasSubstr("--chdir=/100%a\n"));
}

}  // namespace
}  // namespace espalier::study
