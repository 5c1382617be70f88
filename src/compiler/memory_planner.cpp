#include "espalier/compiler/memory_planner.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "espalier/support/rng.hpp"

namespace espalier::compiler {
namespace {

constexpr std::int64_t kUnbounded = std::numeric_limits<std::int64_t>::max() / 2;

struct Item {
  std::int64_t bytes = 0;  ///< rounded up to the alignment
  int first = 0;
  int last = 0;
};

/// Indices of all buffers.
using Order = std::vector<int>;

// Places buffers one after another, each in the lowest gap between those alive with it.
class FirstFit {
 public:
  explicit FirstFit(const std::vector<Item>& items) : items_(items) {
    placed_.reserve(items.size());
  }

  struct Placed {
    std::int64_t offset = 0;
    std::int64_t end = 0;
    int first = 0;
    int last = 0;
    int id = 0;
  };

  // False as soon as a buffer would end above `limit`.
  bool place(const Order& order, std::int64_t limit) {
    placed_.clear();
    for (const int id : order) {
      const Item& item = items_[static_cast<std::size_t>(id)];
      std::int64_t offset = 0;
      std::size_t at = 0;
      // Few branches: whether two lifetimes meet is hard to predict.
      for (; at < placed_.size(); ++at) {
        const Placed& other = placed_[at];
        const bool together = (other.first <= item.last) & (item.first <= other.last);
        if (together & (other.offset - offset >= item.bytes)) break;
        offset = together ? std::max(offset, other.end) : offset;
      }
      if (offset > limit - item.bytes) return false;
      // The scan went past buffers that never meet this one and start above it.
      while (at > 0 && placed_[at - 1].offset > offset) --at;
      placed_.insert(placed_.begin() + static_cast<std::ptrdiff_t>(at),
                     {offset, offset + item.bytes, item.first, item.last, id});
    }
    return true;
  }

  /// By ascending offset.
  [[nodiscard]] const std::vector<Placed>& placed() const { return placed_; }

 private:
  const std::vector<Item>& items_;
  std::vector<Placed> placed_;
};

// Fills the arena from the bottom: takes next the buffer that can start lowest on top of those
// placed, the higher ranked one of several.
class LowestFirst {
 public:
  explicit LowestFirst(const std::vector<Item>& items) : items_(items) {
    waiting_.reserve(items.size());
    order_.reserve(items.size());
  }

  static constexpr std::size_t kFits = std::numeric_limits<std::size_t>::max();

  // Returns kFits, or else the position in `rank` of a buffer that would end above `limit`.
  std::size_t run(const Order& rank, std::int64_t limit) {
    order_.clear();
    waiting_.clear();
    for (std::size_t position = 0; position < rank.size(); ++position) {
      const Item& item = items_[static_cast<std::size_t>(rank[position])];
      waiting_.push_back({0, item.bytes, item.first, item.last, static_cast<int>(position)});
    }
    std::int64_t lowest = 0;
    while (!waiting_.empty()) {
      const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) {
        return waiting.offset == lowest;
      });
      const Waiting next = *at;
      waiting_.erase(at);
      order_.push_back(rank[static_cast<std::size_t>(next.position)]);
      work_ += static_cast<std::int64_t>(waiting_.size());
      const std::int64_t end = next.offset + next.bytes;
      lowest = kUnbounded;
      std::int64_t highest_end = 0;
      // Without branches: whether two lifetimes meet is hard to predict.
      for (Waiting& waiting : waiting_) {
        const bool together = (waiting.first <= next.last) & (next.first <= waiting.last);
        const std::int64_t lifted = std::max(waiting.offset, end);
        waiting.offset = together ? lifted : waiting.offset;
        lowest = std::min(lowest, waiting.offset);
        highest_end = std::max(highest_end, waiting.offset + waiting.bytes);
      }
      if (highest_end <= limit) continue;
      for (const Waiting& waiting : waiting_) {
        if (waiting.offset + waiting.bytes > limit) {
          return static_cast<std::size_t>(waiting.position);
        }
      }
    }
    return kFits;
  }

  /// The order of placement, by ascending offset.
  [[nodiscard]] const Order& order() const { return order_; }
  /// Buffers looked at: a measure of time that is the same on every machine.
  [[nodiscard]] std::int64_t work() const { return work_; }

 private:
  struct Waiting {
    std::int64_t offset = 0;  ///< the lowest possible one
    std::int64_t bytes = 0;
    int first = 0;
    int last = 0;
    int position = 0;  ///< in the rank
  };

  const std::vector<Item>& items_;
  std::vector<Waiting> waiting_;  ///< by rank
  Order order_;
  std::int64_t work_ = 0;
};

class Planner {
 public:
  explicit Planner(const MemoryProblem& problem)
      : alignment_(problem.alignment),
        stacked_(problem.stacked),
        in_use_(bytes_in_use(problem)),
        items_(aligned_items(problem)),
        first_fit_(items_),
        lowest_first_(items_) {
    plan_.offsets.assign(items_.size(), 0);
    plan_.lower_bound = in_use_.empty() ? 0 : *std::max_element(in_use_.begin(), in_use_.end());
    plan_.peak = items_.empty() ? 0 : kUnbounded;
  }

  MemoryPlan run() {
    if (!optimal()) try_greedy_orders();
    if (!optimal()) improve();
    return std::move(plan_);
  }

 private:
  static std::vector<Item> aligned_items(const MemoryProblem& problem) {
    std::vector<Item> items;
    items.reserve(problem.buffers.size());
    for (const BufferLifetime& buffer : problem.buffers) {
      items.push_back({align_up(buffer.bytes, problem.alignment), buffer.first, buffer.last});
    }
    return items;
  }

  [[nodiscard]] bool optimal() const { return plan_.peak == plan_.lower_bound; }
  // The largest peak that would be an improvement.
  [[nodiscard]] std::int64_t limit() const { return plan_.peak - alignment_; }
  [[nodiscard]] const Item& item(int id) const { return items_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] std::int64_t lifetime(int id) const {
    return std::int64_t{item(id).last} - item(id).first + 1;
  }

  // The stacked buffers, then all others by descending key; ties go to the larger, then the
  // earlier, then the lower index. What comes first is placed lowest.
  template <typename Key>
  [[nodiscard]] Order sorted_by(const Key& key) const {
    using Sortable = std::tuple<decltype(key(0)), std::int64_t, int, int>;
    std::vector<Sortable> keys;
    keys.reserve(items_.size());
    for (int id = stacked_; id < static_cast<int>(items_.size()); ++id) {
      keys.emplace_back(key(id), item(id).bytes, -item(id).first, -id);
    }
    std::sort(keys.begin(), keys.end(), std::greater<>());
    Order order;
    order.reserve(items_.size());
    for (int id = 0; id < stacked_; ++id) order.push_back(id);
    for (const Sortable& sorted : keys) order.push_back(-std::get<3>(sorted));
    return order;
  }

  // By buffer: the most bytes in use in any step of its lifetime. It suffices to look at steps in
  // which a buffer starts.
  [[nodiscard]] std::vector<std::int64_t> breadths() const {
    const Order by_first = sorted_by([&](int id) { return -item(id).first; });
    std::vector<std::int64_t> breadths(items_.size());
    for (std::size_t i = 0; i < by_first.size(); ++i) {
      std::int64_t most = 0;
      for (std::size_t k = i; k < by_first.size(); ++k) {
        const int step = item(by_first[k]).first;
        if (step > item(by_first[i]).last) break;
        most = std::max(most, in_use_[static_cast<std::size_t>(step)]);
      }
      breadths[static_cast<std::size_t>(by_first[i])] = most;
    }
    return breadths;
  }

  // First fit in this order, kept if it improves on the best plan. Whether that is optimal now.
  bool try_order(const Order& order) {
    if (!first_fit_.place(order, limit())) return false;
    plan_.peak = 0;
    for (const FirstFit::Placed& placed : first_fit_.placed()) {
      plan_.offsets[static_cast<std::size_t>(placed.id)] = placed.offset;
      plan_.peak = std::max(plan_.peak, placed.end);
    }
    return optimal();
  }

  // First fit never places a buffer higher than the filling did that found the order.
  bool try_rank(const Order& rank) {
    lowest_first_.run(rank, kUnbounded);
    return try_order(lowest_first_.order());
  }

  void try_greedy_orders() {
    if (try_order(sorted_by([&](int id) { return item(id).bytes; }))) return;
    const std::vector<std::int64_t> breadth = breadths();
    rank_ = sorted_by(
        [&](int id) { return std::pair(breadth[static_cast<std::size_t>(id)], lifetime(id)); });
    if (try_order(rank_) || try_rank(rank_)) return;
    try_rank(sorted_by([&](int id) { return lifetime(id); }));
  }

  // Squeaky wheel optimization: whoever does not fit goes to the front of the rank.
  void improve() {
    const auto n = static_cast<std::int64_t>(items_.size());
    const std::int64_t end = lowest_first_.work() + kPasses * n * n + kLeastWork;
    Rng rng{static_cast<std::uint64_t>(n)};
    Order rank = rank_;
    const auto front = static_cast<std::size_t>(stacked_);
    if (rank.size() <= front) return;
    while (lowest_first_.work() < end) {
      const std::size_t failed = lowest_first_.run(rank, limit());
      if (failed == LowestFirst::kFits) {
        if (try_order(lowest_first_.order())) return;
      } else if (failed > front) {
        // Now and then elsewhere, or the same ranks may come again and again.
        const std::size_t target = front + (rng.chance(kElsewhere) ? rng.below(failed - front) : 0);
        const auto begin = rank.begin() + static_cast<std::ptrdiff_t>(target);
        const auto at = rank.begin() + static_cast<std::ptrdiff_t>(failed);
        std::rotate(begin, at, at + 1);
      } else {
        // The front was of no use.
        for (int swaps = 0; swaps < 3; ++swaps) {
          const auto any = [&] { return front + rng.below(rank.size() - front); };
          std::swap(rank[any()], rank[any()]);
        }
      }
    }
  }

  /// Effort of improve(), in work() per square of the number of buffers; a run takes at most 1/2.
  static constexpr std::int64_t kPasses = 6;
  /// Share of buffers that move to a random earlier place in the rank instead of the front.
  static constexpr double kElsewhere = 0.1;
  /// For problems so small that a pass is no time.
  static constexpr std::int64_t kLeastWork = 20'000;

  int alignment_;
  int stacked_;
  std::vector<std::int64_t> in_use_;  ///< bytes, by step
  std::vector<Item> items_;
  FirstFit first_fit_;
  LowestFirst lowest_first_;
  MemoryPlan plan_;
  Order rank_;
};

}  // namespace

MemoryPlan plan_memory(const MemoryProblem& problem) { return Planner(problem).run(); }

}  // namespace espalier::compiler
