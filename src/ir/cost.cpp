#include "espalier/ir/graph.hpp"

namespace espalier::ir {
namespace {

std::int64_t macs(const Conv2D& conv, const Shape& out) {
  return out.elements() * conv.window.kernel_h * conv.window.kernel_w * conv.in_per_group();
}
std::int64_t macs(const Add&, const Shape&) { return 0; }
std::int64_t macs(const Mul&, const Shape&) { return 0; }
std::int64_t macs(const Concat&, const Shape&) { return 0; }
std::int64_t macs(const Select&, const Shape&) { return 0; }
std::int64_t macs(const AveragePool&, const Shape&) { return 0; }
std::int64_t macs(const MaxPool&, const Shape&) { return 0; }
std::int64_t macs(const Rescale&, const Shape&) { return 0; }
std::int64_t macs(const Lookup&, const Shape&) { return 0; }

}  // namespace

std::int64_t forward_macs(const Op& op, const Graph& graph) {
  const Shape& out = graph.tensor(op.output).shape;
  return std::visit([&](const auto& params) { return macs(params, out); }, op.params);
}

}  // namespace espalier::ir
