// Samples as int8 tensors at a cut of the network: the frozen prefix, computed once per sample.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "espalier/data/samples.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/session.hpp"

namespace espalier::train {

class SampleStore {
 public:
  /// Preprocesses all samples and runs ops [0, cut) with the pre-trained parameters, on `jobs`
  /// threads. Resident besides the store: a chunk and a workspace a thread.
  static Result<std::shared_ptr<const SampleStore>> from_samples(const Network& network,
                                                                 const data::Samples& samples,
                                                                 int jobs, int cut = 0);

  /// A store at cut 0 that holds nothing but labels and makes inputs anew whenever they are loaded:
  /// for samples that memory cannot hold. Every sample is tried once. `samples` must outlive it.
  static Result<std::shared_ptr<const SampleStore>> on_demand(const Network& network,
                                                              const data::Samples& samples,
                                                              int jobs);

  /// The store at cut 0 of inputs that are int8 already, [sample][element], with a label each.
  static std::shared_ptr<const SampleStore> from_inputs(const Network& network,
                                                        std::span<const std::int8_t> inputs,
                                                        std::vector<int> labels);

  /// The same samples at a later cut, by running ops [this->cut(), cut) with the pre-trained
  /// parameters.
  [[nodiscard]] std::shared_ptr<const SampleStore> advance(const Network& network, int cut,
                                                           int jobs) const;
  /// advance() of a store that nobody else holds: its samples go as those at the later cut come, so
  /// that memory holds the larger of the two stores and a chunk a thread.
  static std::shared_ptr<const SampleStore> replace(std::shared_ptr<const SampleStore> from,
                                                    const Network& network, int cut, int jobs);

  [[nodiscard]] int cut() const { return cut_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  [[nodiscard]] int label(std::int64_t i) const { return labels_[static_cast<std::size_t>(i)]; }
  /// Bytes of the samples held; 0 on demand.
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] bool holds_samples() const { return samples_ == nullptr; }
  /// Bytes of one sample at a cut.
  static std::size_t sample_bytes(const Network& network, int cut);

  /// Puts the samples with the given indices into a workspace, as one chunk.
  void load(std::span<const std::uint32_t> indices, Workspace& workspace) const;
  /// The same for a step that is done before this store changes or goes: what the workspace may
  /// borrow is not copied.
  void lend(std::span<const std::uint32_t> indices, Workspace& workspace) const;

 private:
  SampleStore(const Network& network, int cut, std::vector<int> labels);
  [[nodiscard]] const std::int8_t* sample(std::uint32_t index) const {
    return data_[index / kChunk].data() + index % kChunk * stride_;
  }

  [[nodiscard]] std::size_t chunks() const { return (labels_.size() + kChunk - 1) / kChunk; }
  [[nodiscard]] std::vector<std::uint32_t> chunk(std::size_t index) const;
  void keep(std::size_t chunk, int samples, Workspace& workspace);
  static void advance(const SampleStore& from, SampleStore& to, const Network& network, int jobs,
                      std::vector<std::vector<std::int8_t>>* given_up);

  int cut_ = 0;
  std::vector<ir::TensorId> tensors_;
  std::vector<std::size_t> sizes_;
  std::size_t stride_ = 0;
  std::vector<std::vector<std::int8_t>> data_;  // by chunk: [sample][tensor]
  std::vector<int> labels_;
  const data::Samples* samples_ = nullptr;  // on demand
};

/// The cut at most `cut` that a store of `samples` samples within `limit` bytes can have, as deep
/// as possible: what lies between the two is recomputed in every pass. -1 when not even inputs fit.
int affordable_cut(const Network& network, int cut, std::int64_t samples, std::int64_t limit);

}  // namespace espalier::train
