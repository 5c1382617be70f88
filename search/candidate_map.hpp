// What is known of candidates, by candidate. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "espalier/search/problem.hpp"

namespace espalier::search {

template <typename Value>
class CandidateMap {
 public:
  /// The value of a candidate, by `compute` where it is not known yet. Not under a lock: that may
  /// take long. Two threads may compute the same value; the first one is kept.
  template <typename Compute>
  Value get(const Candidate& candidate, const Compute& compute) {
    // The low bits choose the bucket inside the map.
    Shard& shard = shards_[(Hash{}(candidate) >> 48) % kShards];
    {
      const std::lock_guard lock(shard.mutex);
      const auto known = shard.known.find(candidate);
      if (known != shard.known.end()) return known->second;
    }
    Value value = compute();
    const std::lock_guard lock(shard.mutex);
    return shard.known.try_emplace(candidate, std::move(value)).first->second;
  }

  /// Does not depend on the order or the number of threads.
  [[nodiscard]] std::int64_t size() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      sum += shard.known.size();
    }
    return static_cast<std::int64_t>(sum);
  }

 private:
  struct Hash {
    std::size_t operator()(const Candidate& candidate) const {
      const std::string_view bytes(reinterpret_cast<const char*>(candidate.choice.data()),
                                   candidate.choice.size());
      return std::hash<std::string_view>{}(bytes)*31 + static_cast<std::size_t>(candidate.depth);
    }
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<Candidate, Value, Hash> known;
  };
  static constexpr std::size_t kShards = 16;

  std::array<Shard, kShards> shards_;
};

}  // namespace espalier::search
