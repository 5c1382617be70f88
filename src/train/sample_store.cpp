#include "espalier/train/sample_store.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>

#include "espalier/train/parallel.hpp"

namespace espalier::train {

SampleStore::SampleStore(const Network& network, int cut)
    : cut_(cut), tensors_(network.live_at(cut)) {
  for (const ir::TensorId id : tensors_) {
    sizes_.push_back(network.elements(id));
    stride_ += sizes_.back();
  }
}

std::size_t SampleStore::sample_bytes(const Network& network, int cut) {
  std::size_t total = 0;
  for (const ir::TensorId id : network.live_at(cut)) total += network.elements(id);
  return total;
}

Result<std::shared_ptr<const SampleStore>> SampleStore::from_samples(const Network& network,
                                                                     const data::Samples& samples,
                                                                     int jobs) {
  std::shared_ptr<SampleStore> store(new SampleStore(network, 0));
  const auto count = static_cast<std::size_t>(samples.size());
  store->labels_.resize(count);
  store->data_.resize(count * store->stride_);
  std::mutex mutex;
  std::optional<std::pair<std::size_t, Error>> first_error;
  parallel_for(jobs, count, [&](std::size_t i) {
    store->labels_[i] = samples.label(static_cast<std::int64_t>(i));
    const std::span<std::int8_t> out(store->data_.data() + i * store->stride_, store->stride_);
    const Status status = samples.input(static_cast<std::int64_t>(i), out);
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (!first_error || i < first_error->first) first_error.emplace(i, status.error());
  });
  if (first_error) return first_error->second;
  return std::shared_ptr<const SampleStore>(store);
}

std::shared_ptr<const SampleStore> SampleStore::from_inputs(const Network& network,
                                                            std::vector<std::int8_t> inputs,
                                                            std::vector<int> labels) {
  std::shared_ptr<SampleStore> store(new SampleStore(network, 0));
  store->data_ = std::move(inputs);
  store->labels_ = std::move(labels);
  return store;
}

std::shared_ptr<const SampleStore> SampleStore::advance(const Network& network, int cut,
                                                        int jobs) const {
  std::shared_ptr<SampleStore> store(new SampleStore(network, cut));
  store->labels_ = labels_;
  store->data_.resize(labels_.size() * store->stride_);
  const plan::UpdatePlan frozen = plan::head_only(network.graph());
  const Session session(network, frozen, fresh_head(network.graph().head.features, 1, 0), cut_);
  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session); });
  const std::size_t chunks = (labels_.size() + kChunk - 1) / kChunk;
  parallel_for(jobs, chunks, [&](std::size_t chunk) {
    const auto workspace = pool.borrow();
    std::vector<std::uint32_t> indices(
        std::min<std::size_t>(kChunk, labels_.size() - chunk * kChunk));
    std::iota(indices.begin(), indices.end(), static_cast<std::uint32_t>(chunk * kChunk));
    load(indices, *workspace);
    session.forward_ops(*workspace, static_cast<int>(indices.size()), cut, false);
    for (std::size_t s = 0; s < indices.size(); ++s) {
      std::int8_t* out = store->data_.data() + indices[s] * store->stride_;
      for (std::size_t t = 0; t < store->tensors_.size(); ++t) {
        std::memcpy(out, workspace->activation(store->tensors_[t]) + s * store->sizes_[t],
                    store->sizes_[t]);
        out += store->sizes_[t];
      }
    }
  });
  return store;
}

void SampleStore::load(std::span<const std::uint32_t> indices, Workspace& workspace) const {
  for (std::size_t s = 0; s < indices.size(); ++s) {
    const std::int8_t* in = data_.data() + indices[s] * stride_;
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      std::memcpy(workspace.activation(tensors_[t]) + s * sizes_[t], in, sizes_[t]);
      in += sizes_[t];
    }
  }
}

int affordable_cut(const Network& network, int cut, std::int64_t samples, std::int64_t limit) {
  for (int candidate = cut; candidate > 0; --candidate) {
    const auto bytes = static_cast<std::int64_t>(SampleStore::sample_bytes(network, candidate));
    if (bytes * samples <= limit) return candidate;
  }
  return 0;
}

}  // namespace espalier::train
