// Running other programs: how they end, what ends with them, and what is left of it.
#include "espalier/support/process.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>

#include "support/temp_folder.hpp"

namespace espalier {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RunProcess : public ::testing::Test {
 protected:
  [[nodiscard]] Result<ProcessResult> shell(const std::string& script,
                                            const ProcessOptions& options = {}) const {
    return run_process({"sh", "-c", script}, folder_.path(), options);
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    return std::filesystem::exists(folder_.path() / name);
  }

 private:
  testing::TempFolder folder_;
};

int descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<int>(std::distance(begin(entries), end(entries)));
}

TEST_F(RunProcess, KeepsOutputAndExitCode) {
  const Result<ProcessResult> result = shell("echo out; echo error >&2; exit 3", {.merge = true});
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\nerror\n");
  EXPECT_EQ(shell("kill -TERM $$")->exit_code, 128 + 15);
  EXPECT_EQ(shell("head -c 300000 /dev/zero")->output.size(), 300000);
  // One that closes its output and goes on.
  EXPECT_EQ(shell("exec >&-; sleep 0.2; exit 5")->exit_code, 5);
}

TEST_F(RunProcess, TemporariesMayLieInTheFolder) {
  const auto where = [&](bool in_folder) {
    return shell("echo $TMPDIR; echo $PATH", {.temporaries_in_folder = in_folder})->output;
  };
  ::setenv("TMPDIR", "/elsewhere", 1);
  EXPECT_THAT(where(false), StartsWith("/elsewhere\n"));
  const std::string own = where(true);
  ::unsetenv("TMPDIR");
  EXPECT_THAT(own, Not(HasSubstr("/elsewhere")));
  EXPECT_THAT(own, EndsWith(std::string("\n") + std::getenv("PATH") + "\n"));
  EXPECT_EQ(shell("echo x > $TMPDIR/left", {.temporaries_in_folder = true})->exit_code, 0);
  EXPECT_TRUE(exists("left"));
}

TEST_F(RunProcess, SaysWhatToDoWhenItCannotRun) {
  const Result<ProcessResult> result = run_process({"no-such-program"}, ".", {.advice = "do this"});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kMissingInput);
  EXPECT_EQ(result.error().message(),
            "no-such-program: cannot be run: No such file or directory; do this");
}

TEST_F(RunProcess, InterruptsAtOnceHoweverEarly) {
  for (int i = 0; i < 50; ++i) {
    const auto start = steady_clock::now();
    const Result<ProcessResult> result =
        shell("sleep 60 & sleep 60", {.keep_going = [] { return false; }});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, ErrorKind::kInterrupted);
    ASSERT_LT(steady_clock::now() - start, seconds{10});
  }
}

TEST_F(RunProcess, EndsAtTheLimitWithAllThatItStarted) {
  const Result<ProcessResult> result =
      shell("(sleep 0.3; : > late) & wait", {.limit = milliseconds{100}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kMismatch);
  EXPECT_THAT(result.error().message(), HasSubstr("still running after 0.1 s"));
  std::this_thread::sleep_for(milliseconds{400});
  EXPECT_FALSE(exists("late"));
}

TEST_F(RunProcess, EndsWhatANormalExitLeaves) {
  const auto start = steady_clock::now();
  const Result<ProcessResult> result = shell("(sleep 0.6; : > late) & echo done");
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_LT(steady_clock::now() - start, milliseconds{550});
  std::this_thread::sleep_for(milliseconds{800});
  EXPECT_FALSE(exists("late"));
}

TEST_F(RunProcess, WaitsForNothingThatLeftItsGroup) {
  const auto start = steady_clock::now();
  const Result<ProcessResult> result = shell("setsid sleep 3 2>&- & sleep 0.1; echo done");
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_LT(steady_clock::now() - start, seconds{2});
}

TEST_F(RunProcess, BoundsTheOutput) {
  EXPECT_TRUE(shell("head -c 1000 /dev/zero", {.largest_output = 1000}).ok());
  for (const char* script : {"head -c 1001 /dev/zero", "yes"}) {
    const Result<ProcessResult> result = shell(script, {.largest_output = 1000});
    ASSERT_FALSE(result.ok()) << script;
    EXPECT_EQ(result.error().kind, ErrorKind::kMismatch);
    EXPECT_EQ(result.error().message(), "sh: printed more than 1000 bytes");
  }
}

TEST_F(RunProcess, LeavesNoDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "sanitizers need descriptors themselves";
#endif
  const int before = descriptors();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(next, 0);
  ::close(next);
  // From none on, up to all that it needs.
  int failures = 0;
  for (int more = 0; more < 6; ++more) {
    rlimit low = limit;
    low.rlim_cur = static_cast<rlim_t>(next + more);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    const Result<ProcessResult> result = shell("exit 0");
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (!result.ok()) {
      ++failures;
      EXPECT_EQ(result.error().kind, ErrorKind::kInternal);
    }
    EXPECT_EQ(descriptors(), before) << more;
  }
  EXPECT_GE(failures, 2);
}

}  // namespace
}  // namespace espalier
