#include "espalier/support/file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/temp_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::TempFolder;

std::ptrdiff_t entries_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(ReadFile, ReturnsEveryByte) {
  const TempFolder folder;
  std::string content;
  for (int i = 0; i < 200000; ++i) content += static_cast<char>(i % 251);
  const Result<std::string> read = read_file(folder.write("a.bin", content));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, content);
  EXPECT_EQ(*read_file(folder.write("empty", "")), "");
}

TEST(ReadFile, ReportsMissingFilesAndFolders) {
  const TempFolder folder;
  const Result<std::string> missing = read_file(folder.path() / "none.json");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kMissingInput);
  EXPECT_THAT(missing.error().message(), HasSubstr("none.json"));
  EXPECT_THAT(missing.error().message(), HasSubstr("No such file"));

  const Result<std::string> not_a_file = read_file(folder.path());
  ASSERT_FALSE(not_a_file.ok());
  EXPECT_EQ(not_a_file.error().kind, ErrorKind::kBadInput);
}

TEST(ReadFile, SaysThatGitLfsHoldsTheFile) {
  const TempFolder folder;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  const Result<std::string> read = read_file(folder.write("model.onnx", pointer));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(read.error().message(), HasSubstr("model.onnx: is a Git LFS pointer"));
  EXPECT_TRUE(read_file(folder.write("a.txt", "of " + pointer)).ok());
  EXPECT_TRUE(read_file(folder.write("b.txt", pointer + std::string(1024, 'x'))).ok());
}

TEST(WriteFileAtomic, WritesAndReplaces) {
  const TempFolder folder;
  const fs::path path = folder.path() / "out.json";
  ASSERT_TRUE(write_file_atomic(path, "first").ok());
  EXPECT_EQ(*read_file(path), "first");
  ASSERT_TRUE(write_file_atomic(path, std::string(1 << 20, 'x')).ok());
  EXPECT_EQ(read_file(path)->size(), std::size_t{1} << 20);
  EXPECT_EQ(entries_in(folder.path()), 1) << "a temporary file was left behind";
}

TEST(WriteFileAtomic, LinksStayAndWhatTheyLeadToIsReplaced) {
  const TempFolder folder;
  const fs::path real = folder.write("data/real.json", "old");
  const fs::path link = folder.path() / "link.json";
  const fs::path second = folder.path() / "second.json";
  fs::create_symlink("data/real.json", link);
  fs::create_symlink(link, second);
  ASSERT_TRUE(write_file_atomic(second, "new").ok());
  EXPECT_EQ(*read_file(real), "new");
  EXPECT_TRUE(fs::is_symlink(second));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(entries_in(folder.path()), 3);

  const Result<fs::path> kept = keep_beside(link, "its text");
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->parent_path(), real.parent_path());
  EXPECT_EQ(*read_file(*kept), "new");

  // A link that leads nowhere yet.
  ASSERT_FALSE(fs::exists(link));
  EXPECT_TRUE(check_writable(link).ok());
  ASSERT_TRUE(write_file_atomic(link, "first").ok());
  EXPECT_EQ(*read_file(real), "first");
  EXPECT_TRUE(fs::is_symlink(link));
}

TEST(WriteFileAtomic, FailsInAMissingFolder) {
  const TempFolder folder;
  const fs::path path = folder.path() / "none" / "out.json";
  for (const Status& status : {write_file_atomic(path, "x"), check_writable(path)}) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind, ErrorKind::kCannotWrite);
    EXPECT_THAT(status.error().message(), HasSubstr("out.json"));
  }
}

// The superuser may write everywhere, so that one becomes nobody for a while.
class OrdinaryUser {
 public:
  OrdinaryUser() : changed_(::geteuid() == 0 && ::seteuid(65534) == 0) {}
  ~OrdinaryUser() {
    if (changed_ && ::seteuid(0) != 0) std::abort();
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  bool changed_;
};

TEST(WriteFileAtomic, KeepsTheOldContentWhenTheFolderIsReadOnly) {
  const TempFolder folder;
  const fs::path path = folder.write("sub/out.json", "old");
  constexpr fs::perms kReadOnly = fs::perms::owner_read | fs::perms::owner_exec |
                                  fs::perms::others_read | fs::perms::others_exec;
  fs::permissions(folder.path(), kReadOnly | fs::perms::owner_write);
  fs::permissions(path.parent_path(), kReadOnly);
  {
    const OrdinaryUser user;
    if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
    for (const Status& status : {write_file_atomic(path, "new"), check_writable(path)}) {
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().kind, ErrorKind::kCannotWrite);
      EXPECT_THAT(status.error().message(), HasSubstr("Permission denied"));
    }
  }
  fs::permissions(path.parent_path(), fs::perms::owner_all);
  EXPECT_EQ(*read_file(path), "old");
}

// No file may grow beyond so many bytes for a while.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(WriteFileAtomic, KeepsTheOldContentWhenItCannotFinish) {
  const TempFolder folder;
  const fs::path path = folder.write("out.json", "old");
  Status written = Ok{};
  {
    const FileSizeLimit limit(1000);
    written = write_file_atomic(path, std::string(2000, 'x'));  // the first write is cut short
  }
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kCannotWrite);
  EXPECT_THAT(written.error().message(), HasSubstr("out.json: cannot be written: File too large"));
  EXPECT_EQ(*read_file(path), "old");
  EXPECT_EQ(entries_in(folder.path()), 1);
}

TEST(WriteFileAtomic, ManyWritersOfOneFileDoNotDisturbEachOther) {
  const TempFolder folder;
  const fs::path path = folder.path() / "out.json";
  std::vector<std::thread> writers;
  for (char writer = 'a'; writer < 'g'; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(write_file_atomic(path, std::string(5000, writer)).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string content = *read_file(path);
  EXPECT_EQ(content, std::string(5000, content.front()));
  EXPECT_EQ(entries_in(folder.path()), 1);
}

TEST(TemporaryNames, AreNeverTheSame) {
  std::set<fs::path> names;
  for (int i = 0; i < 100; ++i) names.insert(temporary_beside("out.json"));
  EXPECT_EQ(names.size(), 100U);
}

TEST(TemporaryNames, WhatKilledProcessesLeftIsRemovedAfterADay) {
  const TempFolder folder;
  const auto make = [&](const std::string& name, int hours) {
    fs::last_write_time(folder.write(name, "x"),
                        fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  const std::string stale = temporary_beside("a.json").string();
  const std::string fresh = temporary_beside("b.json").string();
  make(stale, 25);
  make(fresh, 1);
  for (const char* other :
       {"a.json", "a.tmp-", ".tmp-01234567", "a.tmp-0123456", "a.tmp-0123456g"}) {
    make(other, 1000);
  }
  remove_stale_temporaries(folder.path());
  EXPECT_FALSE(fs::exists(folder.path() / stale));
  EXPECT_TRUE(fs::exists(folder.path() / fresh));
  EXPECT_EQ(entries_in(folder.path()), 6);
  remove_stale_temporaries(folder.path() / "none");
}

TEST(KeepBeside, RenamesByWhatTheFileIs) {
  const TempFolder folder;
  const fs::path path = folder.write("a.b.json", "one");
  const Result<fs::path> kept = keep_beside(path, "one");
  ASSERT_TRUE(kept.ok()) << kept.error().message();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(*read_file(*kept), "one");
  EXPECT_EQ(kept->parent_path(), folder.path());
  const std::string name = kept->filename().string();
  EXPECT_EQ(name, "a.b.other-options-" + sha256_hex("one").substr(0, 8) + ".json");
  EXPECT_TRUE(is_kept_name(name, path));
  for (const char* other :
       {"a.b.json", "a.b.other-options-.json", "a.b.other-options-0123456.json",
        "a.b.other-options-0123456x.json", "a.b.other-options-01234567", "other-options-01234567",
        "b.other-options-01234567.json", "a.b.other-options-01234567.json.lock"}) {
    EXPECT_FALSE(is_kept_name(other, path)) << other;
  }
  EXPECT_EQ(keep_beside(path, "one").error().kind, ErrorKind::kCannotWrite);
}

TEST(WriteFileAtomic, DoesNotReplaceAFolder) {
  const TempFolder folder;
  const fs::path path = folder.path() / "taken";
  fs::create_directory(path);
  const Status written = write_file_atomic(path, "x");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kCannotWrite);
  EXPECT_TRUE(fs::is_directory(path));
  EXPECT_EQ(entries_in(folder.path()), 1) << "a temporary file was left behind";
  EXPECT_FALSE(check_writable(path).ok());
}

TEST(CheckWritable, LeavesNothingBehind) {
  const TempFolder folder;
  EXPECT_TRUE(check_writable(folder.path() / "new.json").ok());
  EXPECT_EQ(entries_in(folder.path()), 0);
  const fs::path existing = folder.write("old.json", "old");
  EXPECT_TRUE(check_writable(existing).ok());
  EXPECT_EQ(*read_file(existing), "old");
}

TEST(Sha256, MatchesPublishedVectors) {
  // FIPS 180-2, appendix B, and the empty message.
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace espalier
