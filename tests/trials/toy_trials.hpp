// A small network with toy data and some trials of it.
#pragma once

#include <vector>

#include "espalier/train/network.hpp"
#include "espalier/trials/trial.hpp"
#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace espalier::trials {

struct ToyTrials {
  train::Network network{testing::small_network(2)};
  data::Samples training = testing::toy_samples(network.graph(), 40, 1);
  data::Samples test = testing::toy_samples(network.graph(), 24, 2);

  [[nodiscard]] Trial trial(int depth, std::uint64_t seed, Numerics numerics) const {
    Trial trial;
    trial.plan = *plan::last_k(network.graph(), depth);
    const bool device = numerics == Numerics::kDevice;
    trial.recipe = {.epochs = 1,
                    .batch = device ? 1 : 8,
                    .learning_rate = device ? 0.05 : 0.5,
                    .warmup_epochs = 0,
                    .seed = seed};
    trial.numerics = numerics;
    return trial;
  }

  // Several depths and seeds, in no order of cuts, in both numerics.
  [[nodiscard]] std::vector<Trial> some() const {
    std::vector<Trial> trials;
    for (const int depth : {1, 7, 0, 3}) {
      for (const std::uint64_t seed : {5, 6}) {
        trials.push_back(trial(depth, seed, Numerics::kSimulation));
      }
      trials.push_back(trial(depth, 5, Numerics::kDevice));
    }
    return trials;
  }
};

}  // namespace espalier::trials
