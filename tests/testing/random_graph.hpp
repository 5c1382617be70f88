// Random small graphs and data for tests of kernels and training.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::testing {

/// Builds int8 graphs op by op, with plausible random quantisation, and ends with a head.
class GraphBuilder {
 public:
  GraphBuilder(std::uint64_t seed, ir::Shape input);

  [[nodiscard]] ir::TensorId input() const { return graph_.input; }
  [[nodiscard]] const ir::Shape& shape(ir::TensorId id) const { return graph_.tensor(id).shape; }

  /// A convolution whose accumulators about fill the int8 range, so that some outputs clip.
  ir::TensorId conv(ir::TensorId in, int out_channels, ir::Window window, int groups = 1);
  ir::TensorId add(ir::TensorId a, ir::TensorId b);
  ir::TensorId rescale(ir::TensorId in, int clamp_low = -128, int clamp_high = 127);
  ir::TensorId average_pool(ir::TensorId in, ir::Window window,
                            ir::HalfRounding rounding = ir::HalfRounding::kToEven);
  /// Into a quantisation of its own.
  ir::TensorId requantized_pool(ir::TensorId in, ir::Window window);
  ir::TensorId max_pool(ir::TensorId in, ir::Window window);
  /// A product of maps, or of a map with a gate of one number a channel.
  ir::TensorId mul(ir::TensorId a, ir::TensorId b);
  /// One of the activation functions.
  ir::TensorId lookup(ir::TensorId in);
  /// Side by side; what has another quantisation than the first is requantised before.
  ir::TensorId concat(const std::vector<ir::TensorId>& operands);
  /// `count` channels in a random order.
  ir::TensorId select(ir::TensorId in, int count);
  /// A unit that keeps some channels, convolves the others, and shuffles both.
  ir::TensorId shuffle_unit(ir::TensorId in);
  /// A gate of one number a channel, from the mean of the map: squeeze and excite.
  ir::TensorId gate(ir::TensorId in);
  ir::TensorId global_pool(ir::TensorId in);

  /// Ends the body at `features` and verifies; throws on an invalid graph.
  ir::Graph finish(ir::TensorId features, int classes);

 private:
  [[nodiscard]] std::vector<int> shuffled_channels(ir::TensorId in);
  ir::TensorId push(ir::OpParams params, std::vector<ir::TensorId> inputs,
                    ir::Quantization quantization);

  Rng rng_;
  ir::Graph graph_;
};

/// A window with symmetric padding.
ir::Window window(int kernel, int stride, int pad);

/// The same, its taps `dilation` apart, padded so that the extent stays at stride 1.
ir::Window dilated(int kernel, int stride, int dilation);

/// Uniform int8 values.
std::vector<std::int8_t> random_int8(Rng& rng, std::size_t count);

/// A MobileNetV2-like network of a few convs with a residual add, for training tests; its input is
/// `side` x `side` x 3.
ir::Graph small_network(std::uint64_t seed, int classes = 4, int side = 8);

/// A network of random topology, odd extents and 1 to 40 input channels: convolutions of all kinds,
/// residual and repeated operands, rescalings, tables, products, gates, concatenations, selections,
/// pools; every op may read the input, in every operand position.
ir::Graph random_network(std::uint64_t seed);

/// A random network whose maps are tall and become small, so that the forward pass holds the memory
/// peak and runs row by row: convolutions of all kinds, pools, adds, tables, selections.
ir::Graph random_tower(std::uint64_t seed);

/// The same blocks on maps of 256 pixels and more, in blocks of 128 where they are not strided:
/// those that training takes sample by sample.
ir::Graph random_large_maps(std::uint64_t seed);

}  // namespace espalier::testing
