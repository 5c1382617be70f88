// Samples as int8 tensors at a cut of the network: the frozen prefix, computed once per sample.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "espalier/data/samples.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/session.hpp"

namespace espalier::train {

class SampleStore {
 public:
  /// Preprocesses all samples: the store at cut 0. Runs on `jobs` threads.
  static Result<std::shared_ptr<const SampleStore>> from_samples(const Network& network,
                                                                 const data::Samples& samples,
                                                                 int jobs);

  /// The store at cut 0 of inputs that are int8 already, [sample][element], with a label each.
  static std::shared_ptr<const SampleStore> from_inputs(const Network& network,
                                                        std::vector<std::int8_t> inputs,
                                                        std::vector<int> labels);

  /// The same samples at a later cut, by running ops [this->cut(), cut) with the pre-trained
  /// parameters.
  [[nodiscard]] std::shared_ptr<const SampleStore> advance(const Network& network, int cut,
                                                           int jobs) const;

  [[nodiscard]] int cut() const { return cut_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  [[nodiscard]] int label(std::int64_t i) const { return labels_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] std::size_t bytes() const { return data_.size(); }
  /// Bytes of one sample at a cut.
  static std::size_t sample_bytes(const Network& network, int cut);

  /// Puts the samples with the given indices into a workspace, as one chunk.
  void load(std::span<const std::uint32_t> indices, Workspace& workspace) const;

 private:
  SampleStore(const Network& network, int cut);

  int cut_ = 0;
  std::vector<ir::TensorId> tensors_;
  std::vector<std::size_t> sizes_;
  std::size_t stride_ = 0;
  std::vector<std::int8_t> data_;  // [sample][tensor]
  std::vector<int> labels_;
};

/// The cut at most `cut` that a store of `samples` samples within `limit` bytes can have, as deep
/// as possible: what lies between the two is recomputed in every pass.
int affordable_cut(const Network& network, int cut, std::int64_t samples, std::int64_t limit);

}  // namespace espalier::train
