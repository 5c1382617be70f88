#include "espalier/support/file_lock.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempFolder;

// A process that takes the lock and keeps it until it is killed.
pid_t holder(const fs::path& output) {
  int ready[2];
  if (::pipe(ready) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    const Result<FileLock> lock = FileLock::acquire(output);
    if (!lock.ok() || ::write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte = 0;
  static_cast<void>(::read(ready[0], &byte, 1));
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

void end(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(FileLock, LeavesNothingBehind) {
  const TempFolder folder;
  for (int i = 0; i < 3; ++i) {
    const Result<FileLock> lock = FileLock::acquire(folder.path() / "out.json");
    ASSERT_TRUE(lock.ok());
    EXPECT_THAT(*read_file(folder.path() / "out.json.lock"),
                ::testing::StartsWith(std::to_string(getpid()) + " on "));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(FileLock, IsOneForAllLinks) {
  const TempFolder folder;
  const fs::path output = folder.write("data/out.json", "{}");
  const fs::path link = folder.path() / "link.json";
  fs::create_symlink("data/out.json", link);
  const Result<FileLock> lock = FileLock::acquire(link);
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(fs::exists(folder.path() / "data/out.json.lock"));
  EXPECT_FALSE(FileLock::acquire(output).ok());
}

TEST(FileLock, SaysWhoHoldsIt) {
  const TempFolder folder;
  const fs::path output = folder.path() / "out.json";
  const pid_t child = holder(output);
  const Result<FileLock> refused = FileLock::acquire(output);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kCannotWrite);
  EXPECT_THAT(refused.error().message(),
              AllOf(HasSubstr("out.json: process " + std::to_string(child) + " on "),
                    HasSubstr(" is writing it")));
  EXPECT_TRUE(FileLock::acquire(folder.path() / "other.json").ok());
  end(child);
}

TEST(FileLock, OfAKilledProcessDoesNotBlock) {
  const TempFolder folder;
  const fs::path output = folder.path() / "folder/";
  end(holder(output));
  EXPECT_TRUE(fs::exists(folder.path() / "folder.lock"));
  EXPECT_TRUE(FileLock::acquire(output).ok());
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(FileLock, LeavesTheFilesOfOthersAlone) {
  const TempFolder folder;
  static_cast<void>(folder.write("out.json.lock", "dependencies: 3\n"));
  const Result<FileLock> refused = FileLock::acquire(folder.path() / "out.json");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("out.json.lock is no lock of Espalier's"));
  EXPECT_EQ(*read_file(folder.path() / "out.json.lock"), "dependencies: 3\n");
}

TEST(FileLock, IsHeldByOneAtATime) {
  // Each child appends its letter again and again; whoever is refused soon tries again.
  const TempFolder folder;
  const fs::path output = folder.write("log", "");
  std::vector<pid_t> children;
  for (int child = 0; child < 6; ++child) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    for (int round = 0; round < 20; ++round) {
      std::optional<FileLock> lock;
      while (!lock) {
        Result<FileLock> tried = FileLock::acquire(output);
        if (tried.ok()) {
          lock.emplace(std::move(tried).value());
        } else {
          ::usleep(100);
        }
      }
      const std::string before = *read_file(output);
      if (!write_file_atomic(output, before + static_cast<char>('a' + child)).ok()) _exit(1);
    }
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(read_file(output)->size(), 120U) << "a write was lost";
}

}  // namespace
}  // namespace espalier
