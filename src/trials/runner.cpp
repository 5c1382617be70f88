#include "espalier/trials/runner.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "espalier/support/interrupt.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/store_chain.hpp"
#include "espalier/trials/trial_times.hpp"

namespace espalier::trials {
namespace {

using Results = std::vector<std::optional<train::TrainResult>>;

// One run of many trials. Each distinct trial of the shard is a job; jobs are worked off in
// ascending order of their cuts.
class Run {
 public:
  Run(const train::Network& network, const data::Samples& training, const data::Samples& test,
      const std::vector<Trial>& trials, const RunOptions& options)
      : network_(network),
        training_(training),
        test_(test),
        trials_(trials),
        options_(options),
        chain_(network, training, test, options.cache_limit) {}

  Result<Results> results() {
    ESPALIER_CHECK_OK(list_jobs());
    take_from_store();
    if (!open_.empty()) ESPALIER_CHECK_OK(work());
    Results results(trials_.size());
    for (std::size_t i = 0; i < trials_.size(); ++i) {
      if (job_of_trial_[i]) results[i] = jobs_[*job_of_trial_[i]].result;
    }
    return results;
  }

 private:
  struct Job {
    const Trial* trial = nullptr;
    Address address;
    int cut = 0;
    double weight = 1;
    std::optional<train::TrainResult> result;
    bool damaged = false;  // its record was, which has been said
  };

  Status list_jobs() {
    std::map<std::string, std::size_t> by_digest;
    for (const Trial& trial : trials_) {
      Address address = address_of(inputs_json(network_.graph(), trial, training_, test_));
      if (shard_of(address, options_.shard.count) != options_.shard.index) {
        job_of_trial_.emplace_back();
        continue;
      }
      const auto [at, fresh] = by_digest.emplace(address.digest, jobs_.size());
      job_of_trial_.emplace_back(at->second);
      if (!fresh) continue;
      ESPALIER_TRY(const int cut, cut_of(trial));
      jobs_.push_back({&trial, std::move(address), cut, 1, std::nullopt, false});
    }
    return Ok{};
  }

  // Device numerics may have to begin earlier, and what they cannot do is said before anything
  // runs.
  [[nodiscard]] Result<int> cut_of(const Trial& trial) const {
    if (trial.numerics == Numerics::kSimulation) {
      ESPALIER_CHECK_OK(train::check(trial.recipe));
      return plan::training_cut(trial.plan, network_.graph());
    }
    ESPALIER_TRY(const Training made, Training::make(network_, trial, training_.classes()));
    ESPALIER_CHECK_OK(check_updates(trial, training_.size()));
    return made.cut();
  }

  void take_from_store() {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      jobs_[i].result = stored(jobs_[i]);
      if (jobs_[i].result) {
        ++taken;
      } else {
        open_.push_back(i);
      }
    }
    if (taken > 0 && options_.announce) {
      spdlog::info("{} of {} trials taken from {}", taken, jobs_.size(),
                   options_.store->folder().string());
    }
    std::stable_sort(open_.begin(), open_.end(),
                     [&](std::size_t a, std::size_t b) { return jobs_[a].cut < jobs_[b].cut; });
  }

  [[nodiscard]] std::optional<train::TrainResult> stored(Job& job) const {
    if (options_.store == nullptr) return std::nullopt;
    Result<std::optional<train::TrainResult>> found = options_.store->find(job.address);
    if (found.ok()) return *std::move(found);
    if (!job.damaged) {
      spdlog::warn("{}; this trial is run again", found.error().message());
    }
    job.damaged = true;
    return std::nullopt;
  }

  // What the progress line weighs each job with: seconds where anybody watches.
  double weigh() {
    if (options_.progress.enabled) {
      const TrialTimes times(network_, jobs_[open_.front()].trial->recipe);
      for (const std::size_t i : open_) {
        const Trial& trial = *jobs_[i].trial;
        jobs_[i].weight =
            times.seconds(trial.plan, trial.recipe.epochs, training_.size(), test_.size());
      }
    }
    return std::accumulate(open_.begin(), open_.end(), 0.0,
                           [&](double sum, std::size_t i) { return sum + jobs_[i].weight; });
  }

  Status work() {
    open_weight_ = weigh();
    start_ = last_line_ = std::chrono::steady_clock::now();
    Progress progress(options_.progress, options_.title, open_weight_);
    progress_ = &progress;
    // With fewer trials than threads, the threads share each batch instead; on the device a batch
    // has nothing to share.
    const auto threads = static_cast<std::size_t>(std::max(1, options_.jobs));
    const bool device = std::any_of(open_.begin(), open_.end(), [&](std::size_t i) {
      return on_device(jobs_[i].trial->numerics);
    });
    const bool over_trials = device || open_.size() >= threads;
    const std::size_t workers = over_trials ? std::min(threads, open_.size()) : 1;
    jobs_inside_ = over_trials ? 1 : options_.jobs;
    queue_.assign(open_.begin(), open_.end());
    train::parallel_for(static_cast<int>(workers), workers, [&](std::size_t) {
      while (step()) {
      }
    });
    if (failure_) return stopped();
    if (options_.announce) {
      spdlog::info("cached prefixes took up to {}", format_bytes(chain_.most()));
    }
    return Ok{};
  }

  // A job about to run.
  struct Ready {
    Job* job;
    std::unique_ptr<Store::Claim> claim;
    Training training;
    train::StoreChain::Stores stores;
  };

  // Works off one job; false when there is nothing left to do.
  bool step() {
    std::optional<Ready> ready;
    {
      // Held while prefixes are computed, so that their cuts ascend.
      const std::lock_guard lock(mutex_);
      if (!failure_ && interrupted()) {
        failure_.emplace(ErrorKind::kInterrupted, "interrupted");
        if (options_.finish_running) {
          spdlog::info("finishing the trials that run; Ctrl-C again stops at once");
        }
      }
      if (failure_ || queue_.empty()) return false;
      Result<std::optional<Ready>> next = take_next();
      if (!next.ok()) {
        failure_ = next.error();
        return false;
      }
      ready = *std::move(next);
      if (!ready && !waiting_) return true;
    }
    if (!ready) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return true;
    }
    return compute(*ready);
  }

  // Takes the first job that no other process is at and makes it ready. Nothing when the store has
  // it by now, or, with waiting_, when others are at all that is left.
  Result<std::optional<Ready>> take_next() {
    std::unique_ptr<Store::Claim> claim;
    std::size_t at = 0;
    while (options_.store != nullptr && at < queue_.size() && claim == nullptr) {
      claim = options_.store->claim(jobs_[queue_[at]].address);
      if (claim == nullptr) ++at;
    }
    waiting_ = at == queue_.size();
    if (waiting_) return std::optional<Ready>();
    Job& job = jobs_[queue_[at]];
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    job.result = stored(job);  // another process may have finished it since
    if (job.result) {
      tell(job.weight);
      return std::optional<Ready>();
    }
    ESPALIER_TRY(Training training, Training::make(network_, *job.trial, training_.classes()));
    ESPALIER_TRY(train::StoreChain::Stores stores, chain_.at(training.cut(), options_.jobs));
    return std::optional<Ready>(
        Ready{&job, std::move(claim), std::move(training), std::move(stores)});
  }

  bool compute(Ready& ready) {
    Result<train::TrainResult> result =
        ready.training.run(*ready.stores.training, *ready.stores.validation,
                           {.jobs = jobs_inside_, .finish = options_.finish_running});
    if (!result.ok()) return fail(result.error());
    if (options_.store != nullptr) {
      const Status kept = options_.store->put(ready.job->address, *result);
      if (!kept.ok()) return fail(kept.error());
    }
    const std::lock_guard lock(mutex_);
    ready.job->result = *std::move(result);
    tell(ready.job->weight);
    return true;
  }

  // On a terminal the line moves; elsewhere a line is logged now and then.
  void tell(double weight) {
    ++computed_;
    finished_weight_ += weight;
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const std::string count =
        fmt::format("{} of {} trials, {:.2g} a second", computed_, open_.size(),
                    static_cast<double>(computed_) / std::max(seconds, 1e-9));
    progress_->note(count);
    progress_->advance(weight);
    if (options_.progress.enabled || !options_.announce) return;
    if (now - last_line_ < kBetweenLogLines) return;
    last_line_ = now;
    spdlog::info("{}: {}, about {:.0f} s left", options_.title, count,
                 seconds * (open_weight_ / finished_weight_ - 1));
  }

  bool fail(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
    return false;
  }

  [[nodiscard]] Error stopped() const {
    const auto done = std::count_if(jobs_.begin(), jobs_.end(),
                                    [](const Job& job) { return job.result.has_value(); });
    const std::size_t all =
        std::max(options_.trials_planned, options_.trials_before + jobs_.size());
    const std::string count = fmt::format(
        "after {} of {} trials", options_.trials_before + static_cast<std::size_t>(done), all);
    if (failure_->kind == ErrorKind::kInterrupted) {
      std::string text = "interrupted " + count;
      if (options_.store != nullptr) {
        text +=
            "; run the same command again to continue from " + options_.store->folder().string();
        if (!options_.or_else.empty()) text += ", or " + options_.or_else;
      }
      return Error{ErrorKind::kInterrupted, std::move(text)};
    }
    if (failure_->kind != ErrorKind::kCannotWrite) return *failure_;
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}; stopped {}, which {} keeps: make room and run the same command "
                             "again, or choose another place",
                             failure_->message(), count, options_.store->folder().string())};
  }

  const train::Network& network_;
  const data::Samples& training_;
  const data::Samples& test_;
  const std::vector<Trial>& trials_;
  const RunOptions& options_;
  train::StoreChain chain_;
  std::vector<Job> jobs_;
  std::vector<std::optional<std::size_t>> job_of_trial_;
  std::vector<std::size_t> open_;
  Progress* progress_ = nullptr;
  int jobs_inside_ = 1;
  std::mutex mutex_;  // of what follows, of the chain and of the jobs' results
  bool waiting_ = false;
  std::size_t computed_ = 0;
  double finished_weight_ = 0;
  double open_weight_ = 0;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_line_;
  std::deque<std::size_t> queue_;
  std::optional<Error> failure_;
};

}  // namespace

Result<Results> run_trials(const train::Network& network, const data::Samples& training,
                           const data::Samples& test, const std::vector<Trial>& trials,
                           const RunOptions& options) {
  if (options.shard.count < 1 || options.shard.index < 0 ||
      options.shard.index >= options.shard.count) {
    return Error{ErrorKind::kUsage,
                 fmt::format("shard {} of {} does not exist; shards count from 0",
                             options.shard.index, options.shard.count)};
  }
  return Run(network, training, test, trials, options).results();
}

Result<FinishedTrial> run_trial(const train::Network& network, const data::Samples& training,
                                const data::Samples& test, const Trial& trial,
                                const RunOptions& options,
                                const train::TrainOptions& train_options) {
  ESPALIER_TRY(Training made, Training::make(network, trial, training.classes()));
  ESPALIER_CHECK_OK(check_updates(trial, training.size()));
  train::StoreChain chain(network, training, test, options.cache_limit);
  ESPALIER_TRY(const train::StoreChain::Stores stores, chain.at(made.cut(), options.jobs));
  train::TrainOptions with = train_options;
  with.jobs = options.jobs;
  ESPALIER_TRY(train::TrainResult result, made.run(*stores.training, *stores.validation, with));
  return FinishedTrial{std::move(made), std::move(result), chain.most()};
}

}  // namespace espalier::trials
