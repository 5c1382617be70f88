// How integer gradients fill their range, convolution by convolution.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/engine.hpp"

namespace espalier::engine {

/// Of the gradient that a convolution's own gradients are made of: dL/dy after mask and factor,
/// over the samples that were looked at. Shares are of the elements that the mask lets pass.
struct GradientUse {
  int conv = -1;
  int exponent = 0;  ///< in the last of them, relative to the sample's
  std::int64_t elements = 0;
  /// At the end of the range in samples where something was cut off.
  std::int64_t saturated = 0;
  /// Zero: of magnitude below half a unit.
  std::int64_t zero = 0;
};

/// Looks on while an engine of integer gradients runs.
class GradientWatch {
 public:
  /// `program` must outlive it.
  explicit GradientWatch(const compiler::Program& program);

  /// Behind node `node` of the backward pass.
  void look(Engine& engine, int node);

  /// In the order of the convolutions; empty with gradients in float.
  [[nodiscard]] std::vector<GradientUse> found() const;

 private:
  struct Watched {
    int node = -1;
    compiler::ValueId gradient = -1;
    compiler::ValueId mask = -1;
    GradientUse use;
  };

  const compiler::Program* program_;
  std::vector<Watched> watched_;  // ascending node
};

}  // namespace espalier::engine
