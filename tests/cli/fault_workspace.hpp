// Commands whose writes fail at one call after the other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "faulty_run.hpp"
#include "outputs_workspace.hpp"
#include "sweep_workspace.hpp"

namespace espalier::testing {

/// Which call fails in the next run.
using NextCall = int (*)(int);
inline int every(int n) { return n + 1; }
inline int some(int n) { return 5 * n + 1; }

constexpr int kCannotWrite = 73;

/// Expects that no temporary file and no lock is left.
inline void expect_tidy(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    EXPECT_EQ(file.find(".tmp-"), std::string::npos) << file;
    EXPECT_FALSE(file.ends_with(".lock")) << file;
  }
}

class FaultySweep : public SweepWorkspace {
 protected:
  FaultySweep() {
    Json smaller = config();
    smaller["training"]["seeds"] = {0};
    smaller["training"]["numerics"] = {"simulation"};
    write("sweep.json", smaller.dump());
  }

  /// Sweeps that are disturbed at one call that writes, in each of these ways, and then run again.
  void fail_at(NextCall next, const std::vector<std::string>& ways) {
    const Files expected = whole({"--jobs", "1"});
    for (const std::string& kind : ways) {
      const std::string& reason = kFaults.at(kind);
      long before = 0;
      for (int n = 1;; n = next(n)) {
        SCOPED_TRACE(kind + " at call " + std::to_string(n));
        const std::string out = fresh();
        const bool disturbed = disturb(out, kind, reason, n, before);
        if (disturbed) expect_goes_on(out);
        EXPECT_EQ(results(out), expected);
        std::filesystem::remove_all(path(out));
        if (!disturbed || ::testing::Test::HasFailure()) break;
      }
    }
  }

 private:
  // Whether anything failed. `before` is how many records the fault one call earlier left.
  bool disturb(const std::string& out, const std::string& kind, const std::string& reason, int n,
               long& before) {
    const std::filesystem::path log_path = path("log");
    std::filesystem::remove(log_path);
    const Finished finished =
        run(sweep(out) + Arguments{"--jobs", "1"}, with_faults(kind, n, log_path));
    const WriteLog log = read_log(log_path);
    if (log.fault.empty()) {
      EXPECT_EQ(finished.exit_code, 0) << finished.err;
      return false;
    }
    EXPECT_EQ(finished.exit_code, kCannotWrite) << log.fault << '\n' << finished.err;
    EXPECT_THAT(finished.err, ::testing::HasSubstr("espalier: " + out));
    EXPECT_THAT(finished.err, ::testing::HasSubstr(reason));
    for (const std::string& file : log.renamed) {
      EXPECT_TRUE(std::filesystem::exists(path(file))) << file;
    }
    expect_tidy(files());
    EXPECT_GE(records(out), before) << "something that was finished is lost";
    // One thread was at one trial, whose record is what could not be written.
    EXPECT_LE(static_cast<long>(log.released.size()), records(out) + 1);
    before = records(out);
    return true;
  }

  // Every record that is there is whole.
  void expect_goes_on(const std::string& out) const {
    const Finished again = succeed(sweep(out));
    EXPECT_THAT(again.err, ::testing::Not(::testing::HasSubstr("run again")));
  }
};

class FaultyCommands : public OutputsWorkspace {
 protected:
  /// Every command with all of its outputs, disturbed in the ways that `wanted` says, given the
  /// number of the command and of the way.
  void fail_at(NextCall next, bool (*wanted)(std::size_t, std::size_t)) {
    std::size_t number = 0;
    for (const OutputCase& c : cases()) {
      // Compilers and simulators: what it writes it writes as the others do.
      if (c.words.front() == "check" || c.words.front() == "sweep") continue;
      ++number;
      std::size_t way = 0;
      for (const auto& [kind, reason] : kFaults) {
        if (!wanted(number, way++)) continue;
        for (int n = 1;; n = next(n)) {
          SCOPED_TRACE(::testing::PrintToString(c.words) + kind + " at call " + std::to_string(n));
          if (!disturb(c, kind, reason, n) || ::testing::Test::HasFailure()) break;
        }
      }
    }
  }

 private:
  Arguments command(const OutputCase& c) const {
    Arguments words = c.words + c.rest;
    const auto set = [&](const std::string& option) {
      const auto at = std::find(words.begin(), words.end(), option);
      if (at != words.end()) words.erase(at, at + 2);
      words = words + Arguments{option, "o/file" + option};
    };
    for (const std::string& option : c.files) set(option);
    for (const std::string& option : c.folders) set(option);
    std::replace(words.begin(), words.end(), std::string("page.html"), std::string("o/page.html"));
    if (c.words.front() == "analyze") {
      words = words + Arguments{"--epochs", "1", "--layers", "6", "--ratios", "1"};
    }
    return words;
  }

  bool disturb(const OutputCase& c, const std::string& kind, const std::string& reason, int n) {
    const std::filesystem::path log_path = path("log");
    std::filesystem::remove_all(path("o"));
    std::filesystem::create_directory(path("o"));
    std::filesystem::remove(log_path);
    const Finished finished = run(command(c), with_faults(kind, n, log_path));
    const WriteLog log = read_log(log_path);
    if (log.fault.empty()) {
      EXPECT_EQ(finished.exit_code, 0) << finished.err;
      return false;
    }
    EXPECT_EQ(finished.exit_code, kCannotWrite) << log.fault << '\n' << finished.err;
    EXPECT_THAT(finished.err, ::testing::HasSubstr("espalier: o/"));
    EXPECT_THAT(finished.err, ::testing::HasSubstr(reason));
    EXPECT_THAT(finished.err, ::testing::Not(::testing::HasSubstr(".tmp-")));
    expect_tidy(files());
    for (const std::string& file : log.renamed) {
      if (file.find(".tmp-") != std::string::npos) continue;
      EXPECT_TRUE(std::filesystem::exists(path(file))) << file;
      if (file.ends_with(".json")) static_cast<void>(read_json(file));  // throws
    }
    // A folder may have been written before another output failed.
    succeed(command(c) + Arguments{"--force"});
    expect_tidy(files());
    return true;
  }
};

}  // namespace espalier::testing
