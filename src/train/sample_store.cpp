#include "espalier/train/sample_store.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <utility>

#include "espalier/train/parallel.hpp"

namespace espalier::train {
namespace {

std::vector<int> labels_of(const data::Samples& samples) {
  std::vector<int> labels;
  for (std::int64_t i = 0; i < samples.size(); ++i) labels.push_back(samples.label(i));
  return labels;
}

// The error of the lowest index, whichever thread meets one first.
class FirstError {
 public:
  void note(std::size_t index, const Status& status) {
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    if (!error_ || index < error_->first) error_.emplace(index, status.error());
  }
  [[nodiscard]] Status status() const {
    if (error_) return error_->second;
    return Ok{};
  }

 private:
  std::mutex mutex_;
  std::optional<std::pair<std::size_t, Error>> error_;
};

// A session that runs the frozen prefix from `cut` on.
Session frozen_session(const Network& network, int cut) {
  return Session(network, plan::head_only(network.graph()),
                 fresh_head(network.graph().head.features, 1, 0), cut);
}

}  // namespace

SampleStore::SampleStore(const Network& network, int cut, std::vector<int> labels)
    : cut_(cut), tensors_(network.live_at(cut)), labels_(std::move(labels)) {
  for (const ir::TensorId id : tensors_) {
    sizes_.push_back(network.elements(id));
    stride_ += sizes_.back();
  }
  data_.resize(chunks());
}

std::size_t SampleStore::sample_bytes(const Network& network, int cut) {
  std::size_t total = 0;
  for (const ir::TensorId id : network.live_at(cut)) total += network.elements(id);
  return total;
}

std::size_t SampleStore::bytes() const {
  return holds_samples() ? labels_.size() * stride_ : std::size_t{0};
}

std::vector<std::uint32_t> SampleStore::chunk(std::size_t index) const {
  const std::size_t first = index * kChunk;
  std::vector<std::uint32_t> indices(std::min<std::size_t>(kChunk, labels_.size() - first));
  std::iota(indices.begin(), indices.end(), static_cast<std::uint32_t>(first));
  return indices;
}

// Takes the tensors of one chunk out of a workspace.
void SampleStore::keep(std::size_t chunk, int samples, Workspace& workspace) {
  std::vector<std::int8_t>& data = data_[chunk];
  data.resize(static_cast<std::size_t>(samples) * stride_);
  std::int8_t* out = data.data();
  for (std::size_t s = 0; s < static_cast<std::size_t>(samples); ++s) {
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      std::memcpy(out, workspace.activation(tensors_[t]) + s * sizes_[t], sizes_[t]);
      out += sizes_[t];
    }
  }
}

Result<std::shared_ptr<const SampleStore>> SampleStore::from_samples(const Network& network,
                                                                     const data::Samples& samples,
                                                                     int jobs, int cut) {
  std::shared_ptr<SampleStore> store(new SampleStore(network, cut, labels_of(samples)));
  const Session session = frozen_session(network, 0);
  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session); });
  const std::size_t size = network.elements(network.graph().input);
  FirstError error;
  parallel_for(jobs, store->chunks(), [&](std::size_t chunk) {
    const auto workspace = pool.borrow();
    const std::vector<std::uint32_t> indices = store->chunk(chunk);
    std::int8_t* input = workspace->activation(network.graph().input);
    for (const std::uint32_t i : indices) {
      error.note(i, samples.input(i, std::span(input, size)));
      input += size;
    }
    const auto count = static_cast<int>(indices.size());
    session.forward_ops(*workspace, count, cut, false);
    store->keep(chunk, count, *workspace);
  });
  ESPALIER_CHECK_OK(error.status());
  return std::shared_ptr<const SampleStore>(store);
}

Result<std::shared_ptr<const SampleStore>> SampleStore::on_demand(const Network& network,
                                                                  const data::Samples& samples,
                                                                  int jobs) {
  std::shared_ptr<SampleStore> store(new SampleStore(network, 0, labels_of(samples)));
  store->samples_ = &samples;
  FirstError error;
  parallel_for(jobs, store->chunks(), [&](std::size_t chunk) {
    std::vector<std::int8_t> input(store->stride_);
    for (const std::uint32_t i : store->chunk(chunk)) error.note(i, samples.input(i, input));
  });
  ESPALIER_CHECK_OK(error.status());
  return std::shared_ptr<const SampleStore>(store);
}

std::shared_ptr<const SampleStore> SampleStore::from_inputs(const Network& network,
                                                            std::span<const std::int8_t> inputs,
                                                            std::vector<int> labels) {
  std::shared_ptr<SampleStore> store(new SampleStore(network, 0, std::move(labels)));
  for (std::size_t chunk = 0; chunk < store->chunks(); ++chunk) {
    const std::size_t count = store->chunk(chunk).size() * store->stride_;
    const auto part = inputs.subspan(chunk * kChunk * store->stride_, count);
    store->data_[chunk].assign(part.begin(), part.end());
  }
  return store;
}

// Fills `to` from `from`; with `given_up`, which are the chunks of `from`, each goes when it has
// served.
void SampleStore::advance(const SampleStore& from, SampleStore& to, const Network& network,
                          int jobs, std::vector<std::vector<std::int8_t>>* given_up) {
  const Session session = frozen_session(network, from.cut_);
  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session); });
  parallel_for(jobs, to.chunks(), [&](std::size_t chunk) {
    const auto workspace = pool.borrow();
    const std::vector<std::uint32_t> indices = from.chunk(chunk);
    from.load(indices, *workspace);
    if (given_up != nullptr) std::vector<std::int8_t>().swap((*given_up)[chunk]);
    const auto count = static_cast<int>(indices.size());
    session.forward_ops(*workspace, count, to.cut_, false);
    to.keep(chunk, count, *workspace);
  });
}

std::shared_ptr<const SampleStore> SampleStore::advance(const Network& network, int cut,
                                                        int jobs) const {
  std::shared_ptr<SampleStore> store(new SampleStore(network, cut, labels_));
  advance(*this, *store, network, jobs, nullptr);
  return store;
}

std::shared_ptr<const SampleStore> SampleStore::replace(std::shared_ptr<const SampleStore> from,
                                                        const Network& network, int cut, int jobs) {
  if (from.use_count() != 1) throw std::logic_error("a store in use cannot be replaced");
  // Stores are made non-const, and this one has no other reader.
  const auto last = std::const_pointer_cast<SampleStore>(std::move(from));
  std::shared_ptr<SampleStore> store(new SampleStore(network, cut, last->labels_));
  advance(*last, *store, network, jobs, &last->data_);
  return store;
}

void SampleStore::lend(std::span<const std::uint32_t> indices, Workspace& workspace) const {
  if (!holds_samples() || tensors_.size() != 1 || tensors_[0] != workspace.borrowed()) {
    load(indices, workspace);
    return;
  }
  std::array<const std::int8_t*, kChunk> places{};
  for (std::size_t s = 0; s < indices.size(); ++s) places[s] = sample(indices[s]);
  workspace.borrow(std::span(places).first(indices.size()));
}

void SampleStore::load(std::span<const std::uint32_t> indices, Workspace& workspace) const {
  workspace.borrow({});
  for (std::size_t s = 0; s < indices.size(); ++s) {
    if (!holds_samples()) {
      std::int8_t* out = workspace.activation(tensors_[0]) + s * sizes_[0];
      const Status status = samples_->input(indices[s], std::span(out, sizes_[0]));
      if (!status.ok()) throw std::runtime_error(status.error().message());  // was tried before
      continue;
    }
    const std::int8_t* in = sample(indices[s]);
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      std::memcpy(workspace.activation(tensors_[t]) + s * sizes_[t], in, sizes_[t]);
      in += sizes_[t];
    }
  }
}

int affordable_cut(const Network& network, int cut, std::int64_t samples, std::int64_t limit) {
  for (int candidate = cut; candidate >= 0; --candidate) {
    const auto bytes = static_cast<std::int64_t>(SampleStore::sample_bytes(network, candidate));
    if (bytes * samples <= limit) return candidate;
  }
  return -1;
}

}  // namespace espalier::train
