#include "espalier/trials/runner.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <future>

#include "espalier/support/file.hpp"
#include "espalier/support/interrupt.hpp"
#include "toy_trials.hpp"

namespace espalier::trials {
namespace {

using ::testing::HasSubstr;
using Results = std::vector<std::optional<train::TrainResult>>;

class Runner : public ::testing::Test {
 protected:
  Runner() {
    std::string name = (std::filesystem::temp_directory_path() / "espalier-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Runner() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] Result<Results> run(const RunOptions& options) const {
    return run_trials(toy_.network, toy_.training, toy_.test, trials_, options);
  }

  [[nodiscard]] static std::vector<double> losses(const Results& results) {
    std::vector<double> losses;
    for (const auto& result : results) losses.push_back(result ? result->test.loss : -1);
    return losses;
  }

  // What each trial reaches alone, from the input.
  [[nodiscard]] std::vector<double> alone() const {
    std::vector<double> losses;
    for (const Trial& trial : trials_) {
      Training training = *Training::make(toy_.network, trial, 4);
      const auto samples = *train::SampleStore::from_samples(toy_.network, toy_.training, 1);
      const auto test = *train::SampleStore::from_samples(toy_.network, toy_.test, 1);
      losses.push_back(training.run(*samples, *test, {})->test.loss);
    }
    return losses;
  }

  [[nodiscard]] std::vector<std::filesystem::path> records() const {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().extension() == ".json") paths.push_back(entry.path());
    }
    return paths;
  }

  ToyTrials toy_;
  std::vector<Trial> trials_ = toy_.some();
  std::filesystem::path folder_;
};

TEST_F(Runner, GivesWhatEachTrialReachesAlone) {
  const std::vector<double> expected = alone();
  for (const int jobs : {1, 3, 64}) {
    for (const std::int64_t limit : {std::int64_t{0}, std::int64_t{9000}, std::int64_t{1} << 30}) {
      const Result<Results> results = run({.jobs = jobs, .cache_limit = Bytes{limit}});
      ASSERT_TRUE(results.ok()) << results.error().message();
      EXPECT_EQ(losses(*results), expected) << jobs << " jobs, " << limit << " bytes";
    }
  }
}

TEST_F(Runner, ComputesNothingTwice) {
  const Store store = *Store::open(folder_);
  const std::vector<Trial> all = trials_;
  trials_.resize(5);
  trials_.push_back(trials_[1]);  // listed twice
  const auto first = run({.jobs = 2, .store = &store});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*first)[1]->test.loss, (*first)[5]->test.loss);
  EXPECT_EQ(records().size(), 5U);
  trials_ = all;  // a wider list adds the others
  const auto wide = run({.jobs = 2, .store = &store});
  EXPECT_EQ(records().size(), all.size());
  EXPECT_EQ(losses(*wide), alone());
  // Seconds are of the machine: equal ones come from the store.
  const auto again = run({.jobs = 1, .store = &store});
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ((*again)[i]->seconds, (*wide)[i]->seconds);
  }
}

TEST_F(Runner, RunsAgainWhatIsDamaged) {
  const Store store = *Store::open(folder_);
  ASSERT_TRUE(run({.jobs = 2, .store = &store}).ok());
  for (const std::filesystem::path& path : records()) {
    std::string text = *read_file(path);
    const std::size_t digit = text.find_first_of("0123456789", text.find("\"test\""));
    text[digit] = text[digit] == '7' ? '8' : '7';
    std::ofstream(path, std::ios::binary) << text;
  }
  const auto results = run({.jobs = 2, .store = &store});
  ASSERT_TRUE(results.ok());
  EXPECT_EQ(losses(*results), alone());
  // And what was damaged is whole again.
  for (const Trial& trial : trials_) {
    const auto found =
        store.find(address_of(inputs_json(toy_.network.graph(), trial, toy_.training, toy_.test)));
    ASSERT_TRUE(found.ok()) << found.error().message();
    EXPECT_TRUE(found->has_value());
  }
}

TEST_F(Runner, SaysWhenTheStoreTakesNothingMore) {
  const Store store = *Store::open(folder_ / "store");
  std::filesystem::remove_all(folder_ / "store");
  const auto results = run({.store = &store});
  ASSERT_FALSE(results.ok());
  EXPECT_EQ(results.error().kind, ErrorKind::kCannotWrite);
  EXPECT_THAT(results.error().message(), HasSubstr("stopped after 0 of 12 trials"));
}

TEST_F(Runner, ShardsAreDisjointAndComplete) {
  Results together(trials_.size());
  for (int index = 0; index < 3; ++index) {
    const auto part = run({.shard = {index, 3}});
    ASSERT_TRUE(part.ok());
    for (std::size_t i = 0; i < trials_.size(); ++i) {
      if (!(*part)[i]) continue;
      EXPECT_FALSE(together[i].has_value());
      together[i] = (*part)[i];
    }
  }
  EXPECT_EQ(losses(together), alone());
  EXPECT_EQ(run({.shard = {3, 3}}).error().kind, ErrorKind::kUsage);
}

// As two processes would: each with a store of its own on the same folder.
TEST_F(Runner, TwoShareAStore) {
  const std::vector<double> expected = alone();
  const auto worker = [&] {
    const Store store = *Store::open(folder_);
    return losses(*run({.store = &store}));
  };
  auto one = std::async(std::launch::async, worker);
  auto two = std::async(std::launch::async, worker);
  EXPECT_EQ(one.get(), expected);
  EXPECT_EQ(two.get(), expected);
  EXPECT_EQ(records().size(), trials_.size());
}

TEST_F(Runner, WaitsForWhatAnotherIsAt) {
  const Store store = *Store::open(folder_);
  const Store other = *Store::open(folder_);
  trials_.resize(1);
  const Address address =
      address_of(inputs_json(toy_.network.graph(), trials_[0], toy_.training, toy_.test));
  auto claim = other.claim(address);
  auto waiting = std::async(std::launch::async, [&] { return losses(*run({.store = &store})); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(150)), std::future_status::timeout);
  train::TrainResult finished;
  finished.test.loss = 42;
  ASSERT_TRUE(other.put(address, finished).ok());
  claim.reset();
  EXPECT_EQ(waiting.get(), std::vector<double>{42});
}

TEST_F(Runner, StopsWhenAskedAndGoesOn) {
  const Store store = *Store::open(folder_);
  set_interrupted(true);
  const auto stopped = run({.jobs = 2, .store = &store});
  set_interrupted(false);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kInterrupted);
  EXPECT_THAT(stopped.error().message(), HasSubstr("run the same command again to continue from"));
  EXPECT_TRUE(run({.jobs = 2, .store = &store}).ok());
}

}  // namespace
}  // namespace espalier::trials
