// The plain scalar reference: every op forward in integers and backward in double, on dense
// channels-last maps of one sample, written for reading. Tests hold the fast kernels against it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::kernels::reference {

struct Forward {
  std::vector<std::int8_t> output;
  std::vector<std::uint8_t> mask;  ///< 1 where the value before the clamp lies within it
};

/// One op on one sample; inputs are dense maps in the order of op.inputs.
Forward forward(const ir::Graph& graph, const ir::Op& op,
                std::span<const std::vector<std::int8_t>> inputs);

struct Backward {
  std::vector<std::vector<double>> inputs;  ///< dL/dx of each input, per int8 unit
  std::vector<double> weights;              ///< convolutions: dL/dw, OHWI
  std::vector<double> bias;                 ///< convolutions: dL/db
};

/// Straight-through gradient of one op on one sample from dL/dy (docs/architecture.md, "Numerics in
/// one page").
Backward backward(const ir::Graph& graph, const ir::Op& op,
                  std::span<const std::vector<std::int8_t>> inputs,
                  std::span<const std::uint8_t> mask, std::span<const double> dy);

}  // namespace espalier::kernels::reference
