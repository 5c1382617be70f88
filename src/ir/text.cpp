#include <fmt/format.h>

#include "espalier/ir/graph.hpp"
#include "espalier/support/file.hpp"

namespace espalier::ir {
namespace {

std::string window_text(const Window& w) {
  return fmt::format("kernel={}x{} stride={}x{} pad={},{},{},{}{}", w.kernel_h, w.kernel_w,
                     w.stride_h, w.stride_w, w.pad_top, w.pad_left, w.pad_bottom, w.pad_right,
                     w.dilated() ? fmt::format(" dilation={}x{}", w.dilation_h, w.dilation_w) : "");
}

template <typename Values>
std::string digest(const Values& values) {
  const std::string_view bytes(reinterpret_cast<const char*>(values.data()),
                               values.size() * sizeof(values[0]));
  return sha256_hex(bytes).substr(0, 12);
}

std::string params_text(const Conv2D& conv) {
  return fmt::format(" {} groups={} weights={}#{} bias={}#{}", window_text(conv.window),
                     conv.groups, conv.weights.size(), digest(conv.weights), conv.bias.size(),
                     digest(conv.bias));
}
std::string params_text(const Add&) { return ""; }
std::string params_text(const Mul&) { return ""; }
std::string params_text(const Concat&) { return ""; }
std::string params_text(const Select& select) {
  return fmt::format(" channels={}#{}", select.channels.size(), digest(select.channels));
}
std::string params_text(const AveragePool& pool) {
  return fmt::format(" {} half={}", window_text(pool.window),
                     pool.rounding == HalfRounding::kToEven ? "even" : "away");
}
std::string params_text(const MaxPool& pool) { return " " + window_text(pool.window); }
std::string params_text(const Rescale&) { return ""; }
std::string params_text(const Lookup& table) {
  return fmt::format(" outputs=#{} derivatives=#{}", digest(table.outputs),
                     digest(table.derivatives));
}

std::string tensor_text(const Tensor& t) {
  return fmt::format("{}:i8[{}x{}x{}] scale={:.9g} zero={}", t.name, t.shape.height, t.shape.width,
                     t.shape.channels, t.quantization.scale, t.quantization.zero_point);
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string text =
      fmt::format("graph {}\ninput {}\n", graph.name, tensor_text(graph.tensor(graph.input)));
  int conv_index = 0;
  for (const Op& op : graph.ops) {
    std::string operands;
    for (const TensorId id : op.inputs) operands += " " + graph.tensor(id).name;
    const std::string index = std::holds_alternative<Conv2D>(op.params)
                                  ? fmt::format("conv={} ", conv_index++)
                                  : std::string();
    text += fmt::format("{}{}{}{} clamp={}..{} -> {}\n", index, mnemonic(op.params), operands,
                        std::visit([](const auto& p) { return params_text(p); }, op.params),
                        op.clamp_low, op.clamp_high, tensor_text(graph.tensor(op.output)));
  }
  text += fmt::format("head {} features={} classes={}\n", graph.tensor(graph.features).name,
                      graph.head.features, graph.head.classes);
  return text;
}

}  // namespace espalier::ir
