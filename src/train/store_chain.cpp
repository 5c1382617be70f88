#include "espalier/train/store_chain.hpp"

#include <algorithm>
#include <utility>

namespace espalier::train {

StoreChain::StoreChain(const Network& network, const data::Samples& training,
                       const data::Samples& validation, Bytes limit)
    : network_(network), training_(training), validation_(validation), limit_(limit) {}

Result<StoreChain::Stores> StoreChain::at(int cut, int jobs) {
  if (latest_.training != nullptr && latest_.training->cut() > cut) latest_ = {};
  const std::int64_t before = held();
  if (latest_.training != nullptr && latest_.training->holds_samples()) {
    go_on(cut, before, jobs);
  } else {
    ESPALIER_CHECK_OK(start(cut, before, jobs));
  }
  return latest_;
}

// From the samples themselves: at first, and as long as nothing could be held.
Status StoreChain::start(int cut, std::int64_t held, int jobs) {
  const std::int64_t samples = training_.size() + validation_.size();
  const int affordable = affordable_cut(network_, cut, samples, limit_.count - held);
  if (affordable < 0 && latest_.training != nullptr) return Ok{};
  const auto make = [&](const data::Samples& set) {
    return affordable < 0 ? SampleStore::on_demand(network_, set, jobs)
                          : SampleStore::from_samples(network_, set, jobs, affordable);
  };
  ESPALIER_TRY(latest_.training, make(training_));
  ESPALIER_TRY(latest_.validation, make(validation_));
  made_.insert(made_.end(), {latest_.training, latest_.validation});
  most_ = std::max(most_, held + bytes(latest_));
  return Ok{};
}

// From the latest stores. When no training uses them any more, they go as the new ones come.
void StoreChain::go_on(int cut, std::int64_t held, int jobs) {
  const std::int64_t samples = training_.size() + validation_.size();
  const bool unused = latest_.training.use_count() == 1 && latest_.validation.use_count() == 1;
  const std::int64_t old = bytes(latest_);
  for (int candidate = cut; candidate > latest_.training->cut(); --candidate) {
    const auto sample = static_cast<std::int64_t>(SampleStore::sample_bytes(network_, candidate));
    const std::int64_t fresh = sample * samples;
    const std::int64_t chunks = std::min(fresh, sample * kChunk * std::max(1, jobs));
    const std::int64_t total = unused ? held - old + std::max(old, fresh) + chunks : held + fresh;
    if (total > limit_.count) continue;
    if (unused) {
      latest_.training =
          SampleStore::replace(std::move(latest_.training), network_, candidate, jobs);
      latest_.validation =
          SampleStore::replace(std::move(latest_.validation), network_, candidate, jobs);
    } else {
      latest_ = {latest_.training->advance(network_, candidate, jobs),
                 latest_.validation->advance(network_, candidate, jobs)};
    }
    made_.insert(made_.end(), {latest_.training, latest_.validation});
    most_ = std::max(most_, total);
    return;
  }
}

std::int64_t StoreChain::bytes(const Stores& stores) {
  return static_cast<std::int64_t>(stores.training->bytes() + stores.validation->bytes());
}

// Bytes of the stores that somebody still uses, the latest included.
std::int64_t StoreChain::held() {
  std::int64_t sum = 0;
  for (const auto& store : made_) {
    if (const auto used = store.lock()) sum += static_cast<std::int64_t>(used->bytes());
  }
  std::erase_if(made_, [](const auto& store) { return store.expired(); });
  return sum;
}

}  // namespace espalier::train
