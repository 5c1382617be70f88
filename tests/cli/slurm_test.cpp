// A sweep on a real Slurm controller and node, started on this machine (tests/slurm).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <regex>
#include <string>
#include <thread>

#include "espalier/support/process.hpp"
#include "sweep_workspace.hpp"

namespace espalier::testing {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

std::string shell(const std::string& script) {
  const auto result = run_process({"sh", "-c", script}, ".", {.merge = true});
  return result.ok() ? result->output : "";
}

class SlurmTest : public SweepWorkspace {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "a Slurm controller is started as root only";
    for (const char* program : {"slurmctld", "slurmd", "munged", "sbatch"}) {
      if (shell(std::string("command -v ") + program).empty()) {
        GTEST_SKIP() << program << " is not installed (tools/setup.sh --slow)";
      }
    }
    const std::string start = shell("bash " ESPALIER_SLURM " start " + path("cluster").string());
    std::smatch conf;
    ASSERT_TRUE(std::regex_search(start, conf, std::regex("export SLURM_CONF=(\\S+)"))) << start;
    ::setenv("SLURM_CONF", conf[1].str().c_str(), 1);
    started_ = true;
  }

  void TearDown() override {
    if (started_) shell("bash " ESPALIER_SLURM " stop " + path("cluster").string());
  }

  // Submits the sweep; the numbers of the array and of the job that merges.
  std::pair<std::string, std::string> submit(const std::string& out) const {
    // Jobs run the program that submits them, which must not be the test.
    const Finished finished = run(sweep(out) + Arguments{"--engine", "slurm"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    std::smatch ids;
    const std::regex line("array (\\d+) of 3 shards; merged by job (\\d+)");
    if (!std::regex_search(finished.out, ids, line)) {
      ADD_FAILURE() << finished.out;
      return {};
    }
    return {ids[1], ids[2]};
  }

  static std::string state(const std::string& job) {
    std::smatch found;
    const std::string shown = shell("scontrol show job -o " + job);
    return std::regex_search(shown, found, std::regex("JobState=(\\w+)")) ? found[1].str() : "";
  }

  template <typename Condition>
  static bool eventually(Condition holds) {
    const auto deadline = steady_clock::now() + seconds(100);
    while (!holds()) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  // The sweep's own documents, once the merging job is through.
  Files merged(const std::string& out, const std::string& job) const {
    EXPECT_TRUE(eventually([&] { return state(job) == "COMPLETED"; }))
        << state(job) << '\n'
        << shell("cat " + path(out).string() + "/slurm/*.log");
    Files files = results(out);
    std::erase_if(files, [](const auto& file) { return file.first.starts_with("slurm/"); });
    return files;
  }

 private:
  bool started_ = false;
};

TEST_F(SlurmTest, AnArrayAndItsMergeGiveTheSameResults) {
  const Files expected = whole({});
  const std::string out = fresh();
  const auto [array, last] = submit(out);
  EXPECT_EQ(merged(out, last), expected);
}

TEST_F(SlurmTest, ATaskThatIsRequeuedAndOneThatFailsCostNothing) {
  // Long enough to be disturbed.
  Json longer = config();
  for (int seed = 2; seed < 12; ++seed) longer["training"]["seeds"].push_back(seed);
  longer["training"]["recipe"]["epochs"] = 60;
  longer["slurm"]["array_limit"] = 3;
  write("sweep.json", longer.dump());
  const Files expected = whole({});
  const std::string out = fresh();
  const auto [array, last] = submit(out);
  ASSERT_TRUE(eventually([&] { return records(out) > 0; }));
  const std::string requeued = shell("scontrol requeue " + array + "_0");
  EXPECT_EQ(requeued, "") << "the task could not be requeued";
  EXPECT_EQ(shell("scancel " + array + "_1"), "");
  EXPECT_EQ(merged(out, last), expected);
  EXPECT_EQ(state(array + "_1"), "CANCELLED");
  EXPECT_EQ(state(array + "_0"), "COMPLETED");
}

}  // namespace
}  // namespace espalier::testing
