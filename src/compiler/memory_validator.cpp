#include "espalier/compiler/memory_validator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace espalier::compiler {
namespace {

class Validator {
 public:
  Validator(const MemoryProblem& problem, const MemoryPlan& plan)
      : problem_(problem), plan_(plan) {}

  Status run() {
    ESPALIER_CHECK_OK(check(problem_));
    if (plan_.offsets.size() != problem_.buffers.size()) {
      // Nothing says which offset belongs to which buffer.
      return Error{ErrorKind::kMismatch,
                   fmt::format("the plan has {} offsets for {} buffers", plan_.offsets.size(),
                               problem_.buffers.size())};
    }
    for (std::size_t i = 0; i < plan_.offsets.size(); ++i) check_offset(i);
    check_overlaps();
    check_stack();
    check_totals();
    if (!findings_.empty()) return Error{ErrorKind::kMismatch, findings_};
    return Ok{};
  }

 private:
  // Saturates, because a plan read from a file may hold any offset.
  [[nodiscard]] std::int64_t end(std::size_t i) const {
    constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();
    const std::int64_t offset = plan_.offsets[i];
    const std::int64_t bytes = problem_.buffers[i].bytes;
    return offset > kLast - bytes ? kLast : offset + bytes;
  }

  [[nodiscard]] std::string range(std::size_t i) const {
    return fmt::format("[{}, {})", plan_.offsets[i], end(i));
  }

  void check_offset(std::size_t i) {
    const std::int64_t offset = plan_.offsets[i];
    if (offset < 0) {
      findings_.push_back(fmt::format("buffer {}: offset {} is negative", i, offset));
    }
    if (offset % problem_.alignment != 0) {
      findings_.push_back(fmt::format("buffer {}: offset {} is not a multiple of the alignment {}",
                                      i, offset, problem_.alignment));
    }
    if (end(i) > plan_.peak) {
      findings_.push_back(fmt::format("buffer {}: its addresses {} end beyond the peak of {} bytes",
                                      i, range(i), plan_.peak));
    }
  }

  void check_overlaps() {
    for (std::size_t i = 0; i < plan_.offsets.size(); ++i) {
      for (std::size_t k = i + 1; k < plan_.offsets.size(); ++k) {
        const BufferLifetime& a = problem_.buffers[i];
        const BufferLifetime& b = problem_.buffers[k];
        const int step = std::max(a.first, b.first);
        if (step > std::min(a.last, b.last)) continue;
        if (plan_.offsets[i] >= end(k) || plan_.offsets[k] >= end(i)) continue;
        findings_.push_back(fmt::format("buffers {} and {} overlap in step {}: {} and {}", i, k,
                                        step, range(i), range(k)));
      }
    }
  }

  void check_stack() {
    for (std::size_t i = 1; i < static_cast<std::size_t>(problem_.stacked); ++i) {
      if (plan_.offsets[i] == align_up(end(i - 1), problem_.alignment)) continue;
      findings_.push_back(fmt::format("buffer {} at {} is to lie upon buffer {} at {}", i, range(i),
                                      i - 1, range(i - 1)));
    }
  }

  void check_totals() {
    std::int64_t largest_end = 0;
    for (std::size_t i = 0; i < plan_.offsets.size(); ++i) {
      largest_end = std::max(largest_end, end(i));
    }
    constexpr std::int64_t kRoundable = std::numeric_limits<std::int64_t>::max() / 2;
    const std::int64_t peak =
        largest_end > kRoundable ? largest_end : align_up(largest_end, problem_.alignment);
    if (plan_.peak != peak) {
      findings_.push_back(fmt::format("the plan claims a peak of {} bytes, its buffers end at {}",
                                      plan_.peak, peak));
    }
    const std::int64_t bound = lower_bound(problem_);
    if (plan_.lower_bound != bound) {
      findings_.push_back(fmt::format("the plan claims a lower bound of {} bytes, it is {}",
                                      plan_.lower_bound, bound));
    }
  }

  const MemoryProblem& problem_;
  const MemoryPlan& plan_;
  std::vector<std::string> findings_;
};

}  // namespace

Status validate(const MemoryProblem& problem, const MemoryPlan& plan) {
  return Validator(problem, plan).run();
}

}  // namespace espalier::compiler
