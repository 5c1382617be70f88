// A learnable toy task for small_network: the class shows in the brightness of one channel.
#pragma once

#include <cstdint>

#include "espalier/data/samples.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::testing {

inline data::Samples toy_samples(const ir::Graph& graph, std::int64_t count, std::uint64_t seed) {
  const ir::Tensor& input = graph.tensor(graph.input);
  Rng rng{seed, 21};
  data::Dataset dataset;
  dataset.classes = 4;
  dataset.spec = "toy";
  dataset.sha256 = "toy-" + std::to_string(seed);
  dataset.class_names = {"0", "1", "2", "3"};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<int>(i % 4);
    data::Image image{input.shape.height, input.shape.width, input.shape.channels, {}};
    for (std::int64_t p = 0; p < input.shape.elements(); ++p) {
      const int base = p % 3 == label % 3 ? 170 + label * 12 : 70;
      image.pixels.push_back(
          static_cast<std::uint8_t>(base + static_cast<int>(rng.below(60)) - 30));
    }
    dataset.images.push_back(std::move(image));
    dataset.labels.push_back(label);
  }
  data::Preprocess preprocess;
  preprocess.identity = true;
  return {
      std::move(dataset),
      *data::make_pipeline(preprocess, input.shape.height, input.shape.width, input.shape.channels,
                           input.quantization.scale, input.quantization.zero_point)};
}

}  // namespace espalier::testing
