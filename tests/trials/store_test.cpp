#include "espalier/trials/store.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "espalier/support/file.hpp"

namespace espalier::trials {
namespace {

using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string name = (std::filesystem::temp_directory_path() / "espalier-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    result_.epochs = {{{0.1, 0.25}, train::Evaluation{1.0 / 3, 0.5}},
                      {{2e-300, 1.0}, std::nullopt}};
    result_.test = {0.123456789012345678, 0.875};
    result_.images = 80;
    result_.seconds = 0.5;
  }
  ~StoreTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path folder_;
  train::TrainResult result_;
  Address address_ = address_of({{"model", "m"}, {"seed", 1}});
};

void expect_equal(const train::TrainResult& a, const train::TrainResult& b) {
  ASSERT_EQ(a.epochs.size(), b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    EXPECT_EQ(a.epochs[i].train.loss, b.epochs[i].train.loss);
    EXPECT_EQ(a.epochs[i].train.accuracy, b.epochs[i].train.accuracy);
    ASSERT_EQ(a.epochs[i].test.has_value(), b.epochs[i].test.has_value());
    if (!a.epochs[i].test) continue;
    EXPECT_EQ(a.epochs[i].test->loss, b.epochs[i].test->loss);
  }
  EXPECT_EQ(a.test.loss, b.test.loss);
  EXPECT_EQ(a.test.accuracy, b.test.accuracy);
  ASSERT_EQ(a.turns.size(), b.turns.size());
  for (std::size_t i = 0; i < a.turns.size(); ++i) {
    EXPECT_EQ(a.turns[i].classes, b.turns[i].classes);
    EXPECT_EQ(a.turns[i].test.loss, b.turns[i].test.loss);
  }
  EXPECT_EQ(a.kept, b.kept);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.diverged, b.diverged);
  EXPECT_EQ(a.diverged_step, b.diverged_step);
}

TEST_F(StoreTest, GivesBackWhatItTook) {
  const Store store = *Store::open(folder_ / "new" / "store");
  EXPECT_FALSE(store.find(address_)->has_value());
  ASSERT_TRUE(store.put(address_, result_).ok());
  expect_equal(**store.find(address_), result_);
  EXPECT_FALSE(store.find(address_of({{"model", "m"}, {"seed", 2}}))->has_value());
  train::TrainResult streamed = result_;
  streamed.turns = {{2, result_.test}, {4, result_.test}};
  streamed.kept = {3, 0, 4, 1};
  ASSERT_TRUE(store.put(address_, streamed).ok());
  expect_equal(**store.find(address_), streamed);
  train::TrainResult diverged = result_;
  diverged.diverged = true;
  diverged.diverged_step = 7;
  diverged.epochs.clear();
  ASSERT_TRUE(store.put(address_, diverged).ok());
  expect_equal(**store.find(address_), diverged);
}

TEST_F(StoreTest, AddressesDoNotDependOnTheOrderOfMembers) {
  EXPECT_EQ(address_of({{"seed", 1}, {"model", "m"}}).digest, address_.digest);
  // Names that are no UTF-8 can be written and found again.
  const Address odd = address_of({{"model", "\xff\xfe"}});
  const Store store = *Store::open(folder_);
  ASSERT_TRUE(store.put(odd, result_).ok());
  EXPECT_TRUE(store.find(odd)->has_value());
}

// Every byte of a record, flipped in one bit, and every length it could be cut to.
TEST_F(StoreTest, FindsEveryDamage) {
  const Store store = *Store::open(folder_);
  ASSERT_TRUE(store.put(address_, result_).ok());
  const std::string whole = *read_file(store.record(address_));
  const auto found = [&](const std::string& text) {
    std::filesystem::remove(store.record(address_));  // which is faster than to cut it
    std::ofstream(store.record(address_), std::ios::binary) << text;
    return store.find(address_);
  };
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string text = whole;
    text[i] = static_cast<char>(text[i] ^ 1);
    const auto damaged = found(text);
    ASSERT_FALSE(damaged.ok()) << i;
    ASSERT_EQ(damaged.error().kind, ErrorKind::kBadInput);
    ASSERT_THAT(damaged.error().message(), HasSubstr(store.record(address_).string()));
    ASSERT_FALSE(found(whole.substr(0, i)).ok()) << i;
  }
  EXPECT_TRUE(found(whole).ok());
}

// A record answers for no other trial, whatever its file is called.
TEST_F(StoreTest, RecordsAreOfOneTrialOnly) {
  const Store store = *Store::open(folder_);
  ASSERT_TRUE(store.put(address_, result_).ok());
  const Address other = address_of({{"model", "m"}, {"seed", 2}});
  std::filesystem::copy(store.record(address_), store.record(other));
  EXPECT_THAT(store.find(other).error().message(), HasSubstr("of another trial"));
}

TEST_F(StoreTest, SaysWhenItCannotBeKept) {
  ASSERT_TRUE(write_file_atomic(folder_ / "file", "").ok());
  const auto refused = Store::open(folder_ / "file");
  EXPECT_EQ(refused.error().kind, ErrorKind::kCannotWrite);
  EXPECT_THAT(refused.error().message(), HasSubstr("choose another place"));
  const Store store = *Store::open(folder_ / "store");
  std::filesystem::remove_all(folder_ / "store");
  EXPECT_EQ(store.put(address_, result_).error().kind, ErrorKind::kCannotWrite);
}

TEST_F(StoreTest, ClaimsAreExclusiveAndEndWithTheirHolder) {
  const Store one = *Store::open(folder_);
  const Store two = *Store::open(folder_);
  const Address other = address_of({{"model", "m"}, {"seed", 2}});
  auto claim = one.claim(address_);
  ASSERT_NE(claim, nullptr);
  EXPECT_EQ(two.claim(address_), nullptr);
  EXPECT_NE(two.claim(other), nullptr);
  claim.reset();
  EXPECT_NE(two.claim(address_), nullptr);
}

}  // namespace
}  // namespace espalier::trials
