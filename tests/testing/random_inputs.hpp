// Random int8 inputs with labels, as a store that trainings read: for networks of any input shape.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/support/rng.hpp"
#include "espalier/train/sample_store.hpp"
#include "testing/random_graph.hpp"

namespace espalier::testing {

struct RandomInputs {
  std::vector<std::vector<std::int8_t>> inputs;
  std::vector<int> labels;

  RandomInputs(const ir::Graph& graph, int count, std::uint64_t seed) {
    Rng rng{seed, 0x494E};  // "IN"
    const auto elements = static_cast<std::size_t>(graph.tensor(graph.input).shape.elements());
    for (int i = 0; i < count; ++i) {
      inputs.push_back(random_int8(rng, elements));
      labels.push_back(static_cast<int>(rng.below(static_cast<std::uint64_t>(graph.head.classes))));
    }
  }

  [[nodiscard]] std::shared_ptr<const train::SampleStore> store(
      const train::Network& network) const {
    std::vector<std::int8_t> all;
    for (const auto& input : inputs) all.insert(all.end(), input.begin(), input.end());
    return train::SampleStore::from_inputs(network, all, labels);
  }
};

}  // namespace espalier::testing
