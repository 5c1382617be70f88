// Several parties that each ask questions one after the other, answered in rounds: when every party
// that is still there has asked, all questions are put at once. Where answering takes threads, they
// find more to do than the questions of one party.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::study {

/// `answer` gets the questions of a round, party by party, and gives as many answers in their
/// order; it is never called by two threads at once. What a party is told depends on its questions
/// alone if that is so of each answer.
template <typename Question, typename Answer>
class Together {
 public:
  using Answers = Result<std::vector<Answer>>;
  using Ask = std::function<Answers(const std::vector<Question>&)>;

  explicit Together(Ask answer) : answer_(std::move(answer)) {}

  /// Runs party(0) .. party(count - 1) side by side, each on a thread of its own, until all return.
  /// They may call ask() with their number. An exception of any comes out of here.
  void run(std::size_t count, const std::function<void(std::size_t)>& party) {
    present_ = count;
    std::vector<std::thread> threads;
    for (std::size_t p = 0; p < count; ++p) {
      threads.emplace_back([this, p, &party] {
        try {
          party(p);
        } catch (...) {
          keep_exception();
        }
        leave();
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (exception_) std::rethrow_exception(exception_);
  }

  Answers ask(std::size_t party, std::vector<Question> questions) {
    std::unique_lock lock(mutex_);
    asked_.emplace(party, std::move(questions));
    if (asked_.size() == present_) answer_round();
    changed_.wait(lock, [&] { return told_.count(party) != 0; });
    Answers mine = std::move(told_.at(party));
    told_.erase(party);
    return mine;
  }

 private:
  void leave() {
    const std::lock_guard lock(mutex_);
    --present_;
    if (present_ > 0 && asked_.size() == present_) answer_round();
  }

  void keep_exception() {
    const std::lock_guard lock(mutex_);
    if (!exception_) exception_ = std::current_exception();
  }

  // With the mutex held, so that the others wait.
  void answer_round() {
    std::vector<Question> all;
    for (const auto& [party, questions] : asked_) {
      all.insert(all.end(), questions.begin(), questions.end());
    }
    Answers answers = Error{ErrorKind::kInternal, "an exception ended the search"};
    try {
      answers = answer_(all);
    } catch (...) {
      if (!exception_) exception_ = std::current_exception();
    }
    std::size_t at = 0;
    for (const auto& [party, questions] : asked_) {
      if (answers.ok()) {
        const auto first = answers->begin() + static_cast<std::ptrdiff_t>(at);
        told_.emplace(party, std::vector<Answer>(
                                 first, first + static_cast<std::ptrdiff_t>(questions.size())));
      } else {
        told_.emplace(party, answers.error());
      }
      at += questions.size();
    }
    asked_.clear();
    changed_.notify_all();
  }

  Ask answer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t present_ = 0;
  std::map<std::size_t, std::vector<Question>> asked_;  // by party, of this round
  std::map<std::size_t, Answers> told_;
  std::exception_ptr exception_;
};

}  // namespace espalier::study
