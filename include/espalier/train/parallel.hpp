// Loops over independent work on a given number of threads (oneTBB), and per-thread objects that
// are made on demand and reused.
#pragma once

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace espalier::train {

/// Calls body(0) .. body(count - 1) in any order on `jobs` threads; in order when jobs is 1.
template <typename Body>
void parallel_for(int jobs, std::size_t count, const Body& body) {
  if (jobs <= 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  tbb::task_arena arena(std::min(jobs, tbb::this_task_arena::max_concurrency()));
  arena.execute([&] { tbb::parallel_for(std::size_t{0}, count, body, tbb::simple_partitioner{}); });
}

/// Objects of which each borrower has one to itself.
template <typename T>
class Pool {
 public:
  explicit Pool(std::function<std::unique_ptr<T>()> make) : make_(std::move(make)) {}

  struct Return {
    Pool* pool;
    void operator()(T* object) const {
      const std::lock_guard lock(pool->mutex_);
      pool->free_.emplace_back(object);
    }
  };
  using Borrowed = std::unique_ptr<T, Return>;

  Borrowed borrow() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        T* object = free_.back().release();
        free_.pop_back();
        return Borrowed(object, Return{this});
      }
      // Destructors give back, where running out of memory would end the program.
      free_.reserve(++made_);
    }
    return Borrowed(make_().release(), Return{this});
  }

 private:
  std::function<std::unique_ptr<T>()> make_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
  std::size_t made_ = 0;
};

}  // namespace espalier::train
