// A graph made ready to run: geometries, packed frozen weights and requantisation of every op.
// Immutable after construction and shared by any number of sessions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/kernels/conv.hpp"
#include "espalier/kernels/elementwise.hpp"

namespace espalier::train {

/// One op with everything its kernels need. `conv` is its conv index, or -1.
struct PreparedOp {
  int conv = -1;
  kernels::ConvGeometry geometry;          ///< convolutions
  kernels::PackedWeights weights;          ///< convolutions, as pre-trained
  kernels::Requantization requantization;  ///< convolutions, as pre-trained
  kernels::MapGeometry map;                ///< everything else
  kernels::ElementwiseParams elementwise;  ///< what saturates, convolutions aside
};

class Network {
 public:
  /// `graph` must satisfy ir::verify().
  explicit Network(ir::Graph graph);

  [[nodiscard]] const ir::Graph& graph() const { return graph_; }
  [[nodiscard]] const std::vector<PreparedOp>& ops() const { return ops_; }
  /// Positions of the convolutions in graph().ops, by conv index.
  [[nodiscard]] const std::vector<int>& convs() const { return convs_; }

  /// Elements between two pixels of a tensor: padded, but dense for the network's input.
  [[nodiscard]] int stride(ir::TensorId tensor) const;
  /// Elements of one sample of a tensor, padding included.
  [[nodiscard]] std::size_t elements(ir::TensorId tensor) const;

  /// The tensors that ops[cut..] and the head read but do not write, ascending: what has to be
  /// known of a sample to run the network from op `cut` on.
  [[nodiscard]] std::vector<ir::TensorId> live_at(int cut) const;

 private:
  ir::Graph graph_;
  std::vector<PreparedOp> ops_;
  std::vector<int> convs_;
};

}  // namespace espalier::train
