// Cached prefixes of a training and a validation set for many trainings of ascending depth, within
// a memory bound. The bound costs time and never results.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/support/bytes.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/sample_store.hpp"

namespace espalier::train {

class StoreChain {
 public:
  struct Stores {
    std::shared_ptr<const SampleStore> training;
    std::shared_ptr<const SampleStore> validation;
  };

  /// `first` are the stores to start from, which exist whatever the limit.
  StoreChain(const Network& network, Stores first, Bytes limit);

  /// The stores at `cut`, or where those do not fit beside what is in use, at an earlier one. Calls
  /// must ask for ascending cuts. Only the latest stores stay here; trainings that still use
  /// earlier ones hold them alive, and their bytes count against the limit until they end.
  Stores at(int cut, int jobs);

  /// Bytes of all stores at the fullest moment.
  [[nodiscard]] Bytes most() const { return Bytes{most_}; }

 private:
  static std::int64_t bytes(const Stores& stores);
  std::int64_t held();

  const Network& network_;
  Stores latest_;
  Bytes limit_;
  std::vector<std::weak_ptr<const SampleStore>> made_;
  std::int64_t most_ = 0;
};

}  // namespace espalier::train
