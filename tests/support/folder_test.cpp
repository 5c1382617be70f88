#include "espalier/support/folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::TempFolder;

TEST(WriteFolder, RefusesAFolderThatIsNotEmpty) {
  const TempFolder folder;
  const fs::path target = folder.path() / "out";
  ASSERT_TRUE(write_folder(target, {{"a.txt", "1"}}, false).ok());
  const Status refused = write_folder(target, {{"a.txt", "2"}}, false);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(*read_file(target / "a.txt"), "1");
  ASSERT_TRUE(write_folder(target, {{"a.txt", "2"}}, true).ok());
  EXPECT_EQ(*read_file(target / "a.txt"), "2");
  EXPECT_FALSE(write_folder(target / "a.txt", {{"b", ""}}, true).ok());
}

TEST(WriteFolder, TakesEveryWayToSpellAFolder) {
  const TempFolder folder;
  for (const char* name : {"a", "b/", "./c", "d/e/f/", "g/../h"}) {
    fs::create_directory(folder.path() / "g");
    ASSERT_TRUE(write_folder(folder.path() / name, {{"x", "1"}}, false).ok()) << name;
    EXPECT_EQ(*read_file(folder.path() / name / "x"), "1") << name;
  }
}

TEST(WriteFolder, GoesWhereALinkLeads) {
  const TempFolder folder;
  const fs::path link = folder.path() / "link";
  fs::create_directory_symlink("real/out", link);
  // Nothing is there yet, and then a folder.
  for (const char* text : {"1", "2"}) {
    const Status written = write_folder(link, {{"a.txt", text}}, true);
    ASSERT_TRUE(written.ok()) << written.error().message();
    EXPECT_EQ(*read_file(folder.path() / "real/out/a.txt"), text);
    EXPECT_TRUE(fs::is_symlink(link));
  }
}

TEST(MakeFolder, GoesWhereALinkLeads) {
  const TempFolder folder;
  fs::create_directory_symlink("real/out", folder.path() / "link");
  // Nothing is there yet, and then a folder.
  for (const char* name : {"link", "link/", "link/below"}) {
    const Status made = make_folder(folder.path() / name);
    ASSERT_TRUE(made.ok()) << made.error().message();
    EXPECT_TRUE(fs::is_directory(folder.path() / "real/out"));
  }
  EXPECT_TRUE(fs::is_directory(folder.path() / "real/out/below"));
  ASSERT_TRUE(write_file_atomic(folder.path() / "file", "").ok());
  EXPECT_FALSE(make_folder(folder.path() / "file").ok());
}

TEST(WriteFolder, LeavesNothingBehindWhenItFails) {
  const TempFolder folder;
  const std::map<std::string, std::string> impossible{{"a", ""}, {"a/b", "beneath a file"}};
  const Status refused = write_folder(folder.path() / "out", impossible, false);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("out/a/b: cannot be written"));
  EXPECT_THAT(refused.error().message(), ::testing::Not(HasSubstr(".tmp-")));
  EXPECT_TRUE(fs::is_empty(folder.path()));
  // An empty folder stays empty.
  fs::create_directory(folder.path() / "out");
  EXPECT_FALSE(write_folder(folder.path() / "out", impossible, false).ok());
  EXPECT_TRUE(fs::is_empty(folder.path() / "out"));
}

TEST(WriteFolder, ReplacesNothingBeforeEverythingIsWritten) {
  const TempFolder folder;
  const fs::path target = folder.path() / "out";
  ASSERT_TRUE(write_folder(target, {{"a", "old"}, {"b/c", "old"}, {"d", "old"}}, false).ok());
  EXPECT_FALSE(write_folder(target, {{"a", "new"}, {"b/c", "new"}, {"b/c/e", ""}}, true).ok());
  EXPECT_EQ(*read_file(target / "a"), "old");
  ASSERT_TRUE(write_folder(target, {{"a", "new"}, {"b/c", "new"}, {"b/f", "new"}}, true).ok());
  for (const char* name : {"a", "b/c", "b/f"}) EXPECT_EQ(*read_file(target / name), "new");
  EXPECT_EQ(*read_file(target / "d"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(target), fs::directory_iterator()), 3);
}

TEST(WriteFolder, OfTwoProcessesOneWinsAndTheOtherIsTold) {
  const TempFolder folder;
  std::map<std::string, std::string> files;
  for (int i = 0; i < 40; ++i) files["file" + std::to_string(i)] = "text";
  int told = 0;
  for (int round = 0; round < 10; ++round) {
    const fs::path target = folder.path() / std::to_string(round);
    std::vector<pid_t> children;
    for (int child = 0; child < 3; ++child) {
      children.push_back(fork());
      if (children.back() != 0) continue;
      const Status written = write_folder(target, files, false);
      if (written.ok()) _exit(0);
      // Told before it began, or when the other was there first.
      const std::string& says = written.error().diagnostics.front();
      const bool clear = says.find("is not empty; name another folder") != std::string::npos ||
                         says.find("another process has written it") != std::string::npos;
      _exit(clear ? 1 : 2);
    }
    int winners = 0;
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      ASSERT_TRUE(WIFEXITED(status));
      ASSERT_NE(WEXITSTATUS(status), 2) << "an unclear diagnostic";
      winners += WEXITSTATUS(status) == 0 ? 1 : 0;
      told += WEXITSTATUS(status);
    }
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(std::distance(fs::directory_iterator(target), fs::directory_iterator()), 40);
  }
  EXPECT_EQ(told, 20);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 10);
}

}  // namespace
}  // namespace espalier
