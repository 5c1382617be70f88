// The static memory planning problem: which buffers live when, and how large they are. Also called
// dynamic storage allocation with known lifetimes (Garey and Johnson 1979, problem SR2, NP-hard).
// Knows nothing of graphs and nothing of the planner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// One buffer: needed from the start of step `first` to the end of step `last`.
struct BufferLifetime {
  std::int64_t bytes = 0;  ///< above 0
  int first = 0;           ///< step, from 0
  int last = 0;            ///< step, inclusive

  bool operator==(const BufferLifetime&) const = default;
};

struct MemoryProblem {
  std::vector<BufferLifetime> buffers;
  int steps = 0;      ///< at most kMaxSteps
  int alignment = 4;  ///< bytes, a power of two; every offset is a multiple of it
  /// So many buffers, the first of them, lie lowest and one upon the other: each lives as long as
  /// the next one at least.
  int stacked = 0;

  bool operator==(const MemoryProblem&) const = default;
};

/// Where every buffer starts in one arena.
struct MemoryPlan {
  std::vector<std::int64_t> offsets;  ///< bytes, by buffer
  /// Bytes of the arena: the largest end of a buffer, rounded up to the alignment.
  std::int64_t peak = 0;
  std::int64_t lower_bound = 0;  ///< lower_bound(problem), in bytes; no plan has a smaller peak

  bool operator==(const MemoryPlan&) const = default;
};

/// Sixteen times the longest of the public benchmarks; keeps memory per step affordable.
inline constexpr int kMaxSteps = 1 << 24;

/// The smallest multiple of `alignment`, a power of two, that is at least `bytes`.
constexpr std::int64_t align_up(std::int64_t bytes, int alignment) {
  return (bytes + alignment - 1) & -static_cast<std::int64_t>(alignment);
}

/// Errors: kBadInput with every buffer that is empty, ends before it starts or leaves the steps,
/// for an alignment that is not a power of two, too many steps, and sizes whose sum overflows.
Status check(const MemoryProblem& problem);

/// By step: the sum, in bytes, of the aligned sizes of the buffers alive. Throws
/// std::invalid_argument when check() fails.
std::vector<std::int64_t> bytes_in_use(const MemoryProblem& problem);

/// The largest of bytes_in_use(), 0 without buffers. Buffers that are alive together need disjoint
/// memory, so no plan needs less. Throws std::invalid_argument when check() fails.
std::int64_t lower_bound(const MemoryProblem& problem);

/// The problem as CSV in the layout of the public benchmarks of google/minimalloc (Moffitt, ASPLOS
/// 2023): id, lower, upper, size, where `upper` is the first step in which the buffer is dead; then
/// `alignment` unless it is 1, then `offset` if there is a plan. Sizes and offsets are bytes.
/// Characters of a name that the layout cannot hold become '_'; a buffer without a name is called
/// by its index. Throws std::invalid_argument when the plan has another number of buffers.
std::string to_csv(const MemoryProblem& problem, const std::vector<std::string>& names,
                   const MemoryPlan* plan = nullptr);

/// Reads what to_csv() writes, with the columns in any order; ids, offsets and unknown columns are
/// skipped. There are as many steps as the last buffer needs; without a column for it the alignment
/// is 1. Errors: kBadInput with every faulty line, prefixed by `where`; refused are buffers with
/// gaps, mixed alignments, and the older benchmarks' column `end`, which some files mean
/// inclusively and others exclusively.
Result<MemoryProblem> problem_from_csv(std::string_view text, std::string_view where);

}  // namespace espalier::compiler
