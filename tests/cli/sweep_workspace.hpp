// A small sweep in a folder, run in many ways.
#pragma once

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "faulty_run.hpp"
#include "workspace.hpp"

namespace espalier::testing {

class SweepWorkspace : public Workspace {
 protected:
  /// By name below the sweep's folder.
  using Files = std::map<std::string, std::string>;

  SweepWorkspace() {
    make_model();
    make_idx("train", 64);
    make_idx("test", 24);
    write("sweep.json", "// A small sweep.\n" + config().dump(2));
  }

  static Json config() {
    const Json recipe{{"epochs", 1}, {"batch", 16}};
    return {
        {"schema", "espalier.sweep/1"},
        {"name", "tiny"},
        {"models", {{{"name", "m"}, {"file", "model.onnx"}}}},
        {"datasets",
         {{{"name", "d"},
           {"train", "idx:train-images,train-labels"},
           {"test", "idx:test-images,test-labels"}}}},
        {"analysis", {{"layers", {5, 6}}, {"ratios", {0.5, 1}}, {"recipe", recipe}}},
        {"searches", {{{"budgets", {"1KiB", "2KiB"}}, {"solver", "exact"}}}},
        {"plans",
         {{"bias_only", {1}},
          {"last_k", {2}},
          {"published",
           {{{"name", "p"},
             {"model", "m"},
             {"n_bias_update", 2},
             {"manual_weight_idx", {5}},
             {"weight_update_ratio", {0.5}}}}}}},
        {"training",
         {{"seeds", {0, 1}}, {"numerics", {"simulation", "device"}}, {"recipe", recipe}}},
        {"slurm",
         {{"shards", 3}, {"time", "0:10:00"}, {"cpus", 1}, {"memory", "1G"}, {"array_limit", 2}}}};
  }

  static Arguments sweep(const std::string& out) { return {"sweep", "sweep.json", "--out", out}; }

  /// A folder that is not there yet.
  std::string fresh() { return "out" + std::to_string(++folders_); }

  [[nodiscard]] long records(const std::string& out) const {
    std::error_code error;
    const std::filesystem::directory_iterator entries(path(out) / "trials", error);
    if (error) return 0;
    return std::count_if(begin(entries), end(entries),
                         [](const auto& entry) { return entry.path().extension() == ".json"; });
  }

  /// What the sweep wrote, but for its store and what killed processes left under temporary names.
  [[nodiscard]] Files results(const std::string& out) const {
    Files files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path(out))) {
      const std::string name = std::filesystem::relative(entry.path(), path(out)).string();
      if (entry.is_regular_file() && !name.starts_with("trials/") &&
          name.find(".tmp-") == std::string::npos) {
        files[name] = read(out + "/" + name);
      }
    }
    return files;
  }

  /// Runs what is left and returns the results.
  [[nodiscard]] Files finish(const std::string& out) const {
    succeed(sweep(out));
    return results(out);
  }

  /// A sweep that nothing disturbs.
  [[nodiscard]] Files whole(const Arguments& options) {
    const std::string out = fresh();
    succeed(sweep(out) + options);
    return results(out);
  }

  /// Kills a sweep of two workers again and again at random moments; each time it may lose the one
  /// trial that a worker was at, and it must end as one that nobody disturbed.
  void kill_often(int times) {
    const auto start = std::chrono::steady_clock::now();
    const Files expected = whole({});
    const auto usual = std::chrono::steady_clock::now() - start;
    std::string out = fresh();
    int killed = 0;
    for (std::uint64_t turn = 0; killed < times && turn < 100U * static_cast<unsigned>(times);
         ++turn) {
      const auto begin = std::chrono::steady_clock::now();
      Rng rng{17, turn};
      const auto moment =
          std::chrono::duration_cast<std::chrono::microseconds>(usual * rng.uniform());
      std::filesystem::remove(path("log"));
      RunOptions options = with_faults("none", 0, path("log"));
      options.folder = path(".");
      options.signal = SIGKILL;
      options.interrupt_when = [&] { return std::chrono::steady_clock::now() - begin > moment; };
      const long before = records(out);
      const Finished finished = run_program(sweep(out) + Arguments{"--jobs", "2"}, options);
      ASSERT_GE(records(out), before);
      expect_one_lost_a_worker(out, read_log(path("log")), 2);
      if (finished.exit_code == 0) {
        EXPECT_EQ(results(out), expected);
        out = fresh();  // and once more from the beginning
        continue;
      }
      ASSERT_EQ(finished.exit_code, -1) << finished.err;
      // No record is damaged: each is the whole text that was to be written, or is not there.
      EXPECT_EQ(finished.err.find("run again"), std::string::npos) << finished.err;
      ++killed;
    }
    EXPECT_EQ(killed, times);
    EXPECT_EQ(finish(out), expected);
  }

 private:
  // A worker holds the lock of the trial it is at and gives it back once there is a record.
  void expect_one_lost_a_worker(const std::string& out, const WriteLog& log,
                                std::size_t workers) const {
    EXPECT_LE(log.claimed.size(), workers);
    std::set<std::string> recorded;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path(out) / "trials", error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".json")) recorded.insert(name.substr(0, kLockDigits));
    }
    for (const std::string& lock : log.released) EXPECT_TRUE(recorded.contains(lock)) << lock;
  }

  static constexpr std::size_t kLockDigits = 15;  // of a record's name
  int folders_ = 0;
};

}  // namespace espalier::testing
