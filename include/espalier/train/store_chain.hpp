// Cached prefixes of a training and a validation set for many trainings of ascending cuts, within a
// memory bound. The bound costs time and never results.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/data/samples.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/sample_store.hpp"

namespace espalier::train {

class StoreChain {
 public:
  struct Stores {
    std::shared_ptr<const SampleStore> training;
    std::shared_ptr<const SampleStore> validation;
  };

  /// `limit` bounds all bytes of samples that are held at once, inputs included. The samples must
  /// outlive the chain and what it hands out.
  StoreChain(const Network& network, const data::Samples& training, const data::Samples& validation,
             Bytes limit);

  /// The stores at `cut`, or where those do not fit beside what is in use, at an earlier one; where
  /// not even inputs fit, stores that make them on demand. Calls should ask for ascending cuts:
  /// going back begins with the samples again. Only the latest stores stay here; trainings that
  /// still use earlier ones hold them alive, and their bytes count against the limit until they
  /// end. Errors: of samples that cannot be preprocessed.
  Result<Stores> at(int cut, int jobs);

  /// Bytes of all stores at the fullest moment.
  [[nodiscard]] Bytes most() const { return Bytes{most_}; }

 private:
  static std::int64_t bytes(const Stores& stores);
  std::int64_t held();
  Status start(int cut, std::int64_t held, int jobs);
  void go_on(int cut, std::int64_t held, int jobs);

  const Network& network_;
  const data::Samples& training_;
  const data::Samples& validation_;
  Stores latest_;
  Bytes limit_;
  std::vector<std::weak_ptr<const SampleStore>> made_;
  std::int64_t most_ = 0;
};

}  // namespace espalier::train
