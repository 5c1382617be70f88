#include "espalier/train/store_chain.hpp"

#include <algorithm>
#include <utility>

namespace espalier::train {

StoreChain::StoreChain(const Network& network, Stores first, Bytes limit)
    : network_(network),
      latest_(std::move(first)),
      limit_(limit),
      made_{latest_.training, latest_.validation},
      most_(bytes(latest_)) {}

StoreChain::Stores StoreChain::at(int cut, int jobs) {
  const std::int64_t samples = latest_.training->size() + latest_.validation->size();
  const std::int64_t before = held();
  const int affordable = affordable_cut(network_, cut, samples, limit_.count - before);
  if (affordable > latest_.training->cut()) {
    latest_ = {latest_.training->advance(network_, affordable, jobs),
               latest_.validation->advance(network_, affordable, jobs)};
    made_.insert(made_.end(), {latest_.training, latest_.validation});
    most_ = std::max(most_, before + bytes(latest_));
  }
  return latest_;
}

std::int64_t StoreChain::bytes(const Stores& stores) {
  return static_cast<std::int64_t>(stores.training->bytes() + stores.validation->bytes());
}

// Bytes of the stores that somebody still uses.
std::int64_t StoreChain::held() {
  std::int64_t sum = 0;
  for (const auto& store : made_) {
    if (const auto used = store.lock()) sum += static_cast<std::int64_t>(used->bytes());
  }
  std::erase_if(made_, [](const auto& store) { return store.expired(); });
  return sum;
}

}  // namespace espalier::train
