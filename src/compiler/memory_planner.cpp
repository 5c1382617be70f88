#include "espalier/compiler/memory_planner.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

#include "espalier/support/rng.hpp"

namespace espalier::compiler {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

struct Item {
  std::int64_t bytes = 0;  ///< rounded up to the alignment
  int first = 0;
  int last = 0;
};

using Order = std::vector<int>;

// Buffers placed so far, a prefix of an order, sorted by offset.
class Arena {
 public:
  explicit Arena(const std::vector<Item>& items) : items_(items) { placed_.reserve(items.size()); }

  struct Placed {
    std::int64_t offset = 0;
    std::int64_t end = 0;
    int first = 0;
    int last = 0;
    int item = 0;
    int position = 0;  ///< in the order
  };

  // Places order[from], order[from + 1], ... until all are or one would end above `limit`; returns
  // the position of that one, or kNone. Expects exactly the positions before `from` to be placed.
  std::size_t place(const Order& order, std::size_t from, std::int64_t limit) {
    for (std::size_t position = from; position < order.size(); ++position) {
      const int id = order[position];
      const Item& item = items_[static_cast<std::size_t>(id)];
      std::int64_t offset = 0;
      std::size_t at = 0;
      for (; at < placed_.size(); ++at) {
        const Placed& other = placed_[at];
        const bool together = (other.first <= item.last) & (item.first <= other.last);
        if (together & (other.offset - offset >= item.bytes)) break;
        offset = together ? std::max(offset, other.end) : offset;
      }
      work_ += static_cast<std::int64_t>(at) + kWorkPerBuffer;
      if (offset > limit - item.bytes) return position;
      while (at > 0 && placed_[at - 1].offset > offset) --at;
      placed_.insert(placed_.begin() + static_cast<std::ptrdiff_t>(at),
                     {offset, offset + item.bytes, item.first, item.last, id,
                      static_cast<int>(position)});
    }
    return kNone;
  }

  // Takes out everything placed at `position` or later.
  void keep_before(std::size_t position) {
    const int bound = static_cast<int>(position);
    std::erase_if(placed_, [&](const Placed& placed) { return placed.position >= bound; });
    work_ += static_cast<std::int64_t>(placed_.size());
  }

  [[nodiscard]] const std::vector<Placed>& placed() const { return placed_; }
  // Comparisons made: a measure of time that is the same on every machine.
  [[nodiscard]] std::int64_t work() const { return work_; }

  static constexpr std::int64_t kWorkPerBuffer = 16;

 private:
  const std::vector<Item>& items_;
  std::vector<Placed> placed_;
  std::int64_t work_ = 0;
};

class Planner {
 public:
  explicit Planner(const MemoryProblem& problem)
      : alignment_(problem.alignment),
        in_use_(bytes_in_use(problem)),
        items_(aligned_items(problem)),
        arena_(items_) {
    plan_.offsets.assign(items_.size(), 0);
    plan_.lower_bound = in_use_.empty() ? 0 : *std::max_element(in_use_.begin(), in_use_.end());
    plan_.peak = items_.empty() ? 0 : std::numeric_limits<std::int64_t>::max() / 2;
  }

  MemoryPlan run() {
    if (!optimal()) try_greedy_orders();
    if (!optimal()) search();
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

  [[nodiscard]] bool optimal() const { return plan_.peak <= plan_.lower_bound; }
  // The largest peak that would be an improvement.
  [[nodiscard]] std::int64_t limit() const { return plan_.peak - alignment_; }
  [[nodiscard]] const Item& item(int id) const { return items_[static_cast<std::size_t>(id)]; }

  // Takes over what the arena holds, all buffers, as the best plan.
  void record(const Order& order) {
    plan_.peak = 0;
    for (const Arena::Placed& placed : arena_.placed()) {
      plan_.offsets[static_cast<std::size_t>(placed.item)] = placed.offset;
      plan_.peak = std::max(plan_.peak, placed.end);
    }
    best_order_ = order;
  }

  // The order by descending key; ties go to the larger, then the earlier, then the lower index.
  template <typename Key>
  Order sorted_by(const Key& key) const {
    Order order(items_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      return std::tuple(key(b), item(b).bytes, item(a).first, a) <
             std::tuple(key(a), item(a).bytes, item(b).first, b);
    });
    return order;
  }

  // By item: the most bytes in use in any step of its lifetime. It suffices to look at steps in
  // which a buffer starts.
  [[nodiscard]] std::vector<std::int64_t> breadths() const {
    const Order by_first = sorted_by([&](int id) { return -item(id).first; });
    std::vector<std::int64_t> breadth(items_.size());
    for (std::size_t i = 0; i < by_first.size(); ++i) {
      std::int64_t& most = breadth[static_cast<std::size_t>(by_first[i])];
      for (std::size_t k = i; k < by_first.size(); ++k) {
        const int step = item(by_first[k]).first;
        if (step > item(by_first[i]).last) break;
        most = std::max(most, in_use_[static_cast<std::size_t>(step)]);
      }
    }
    return breadth;
  }

  bool try_order(const Order& order) {
    arena_.keep_before(0);
    if (arena_.place(order, 0, limit()) == kNone) record(order);
    return optimal();
  }

  void try_greedy_orders() {
    const auto length = [&](int id) { return std::int64_t{item(id).last} - item(id).first + 1; };
    if (try_order(sorted_by([&](int id) { return item(id).bytes; }))) return;
    if (try_order(sorted_by(length))) return;
    if (try_order(sorted_by([&](int id) {
          return static_cast<double>(item(id).bytes) * static_cast<double>(length(id));
        }))) {
      return;
    }
    const std::vector<std::int64_t> breadth = breadths();
    const auto breadth_of = [&](int id) { return breadth[static_cast<std::size_t>(id)]; };
    if (try_order(sorted_by(breadth_of))) return;
    if (try_order(sorted_by([&](int id) { return std::pair(breadth_of(id), length(id)); }))) return;
    if (try_order(sorted_by([&](int id) { return -item(id).first; }))) return;
    try_order(sorted_by([&](int id) { return item(id).last; }));
  }

  void search() {
    const std::int64_t n = static_cast<std::int64_t>(items_.size());
    const std::int64_t budget = arena_.work() + BUDGET_SCALE * (8 * n * (n + 4 * Arena::kWorkPerBuffer) + 20000);
    Rng rng{static_cast<std::uint64_t>(n)};
    Order order = best_order_;
    arena_.keep_before(0);
    std::size_t from = 0;
    std::vector<std::size_t> candidates;
    while (arena_.work() < budget) {
      std::size_t failed = arena_.place(order, from, limit());
      if (failed == kNone) {
        record(order);
        if (optimal()) return;
        failed = order.size();
        for (const Arena::Placed& placed : arena_.placed()) {
          if (placed.end > limit()) {
            failed = std::min(failed, static_cast<std::size_t>(placed.position));
          }
        }
      }
      const Item& culprit = item(order[failed]);
      candidates.clear();
      for (const Arena::Placed& placed : arena_.placed()) {
        if (placed.first <= culprit.last && culprit.first <= placed.last &&
            static_cast<std::size_t>(placed.position) < failed) {
          candidates.push_back(static_cast<std::size_t>(placed.position));
        }
      }
      const std::size_t target = candidates[rng.below(candidates.size())];
      std::rotate(order.begin() + static_cast<std::ptrdiff_t>(target),
                  order.begin() + static_cast<std::ptrdiff_t>(failed),
                  order.begin() + static_cast<std::ptrdiff_t>(failed) + 1);
      arena_.keep_before(target);
      from = target;
    }
  }

  int alignment_;
  std::vector<std::int64_t> in_use_;
  std::vector<Item> items_;
  Arena arena_;
  MemoryPlan plan_;
  Order best_order_;
};

}  // namespace

MemoryPlan plan_memory(const MemoryProblem& problem) { return Planner(problem).run(); }

}  // namespace espalier::compiler
