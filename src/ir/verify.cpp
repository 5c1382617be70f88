#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/ir/graph.hpp"

namespace espalier::ir {
namespace {

bool usable_scale(double scale) { return std::isfinite(scale) && scale > 0; }

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  Status run() {
    check_tensors();
    if (problems_.empty()) check_ops();
    if (problems_.empty()) check_head();
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return Ok{};
  }

 private:
  void problem(const std::string& text) {
    problems_.push_back(fmt::format("{}: {}", graph_.name, text));
  }

  [[nodiscard]] bool valid(TensorId id) const {
    return id >= 0 && id < static_cast<int>(graph_.tensors.size());
  }

  void check_tensors() {
    for (const Tensor& t : graph_.tensors) {
      if (!usable_scale(t.quantization.scale)) {
        problem(fmt::format("tensor '{}': scale {} is not a positive number", t.name,
                            t.quantization.scale));
      }
      if (t.quantization.zero_point < -128 || t.quantization.zero_point > 127) {
        problem(fmt::format("tensor '{}': zero point {} is not an int8", t.name,
                            t.quantization.zero_point));
      }
    }
    if (!valid(graph_.input) || !valid(graph_.features)) problem("input or features are undefined");
  }

  void check_ops() {
    std::vector<bool> defined(graph_.tensors.size(), false);
    defined[static_cast<std::size_t>(graph_.input)] = true;
    for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
      const Op& op = graph_.ops[i];
      const std::string where = fmt::format("op {} '{}' ({})", i, op.name, mnemonic(op.params));
      std::vector<Shape> shapes;
      for (const TensorId id : op.inputs) {
        if (!valid(id) || !defined[static_cast<std::size_t>(id)]) {
          problem(where + ": reads a tensor before it is written");
          return;
        }
        shapes.push_back(graph_.tensor(id).shape);
      }
      if (!valid(op.output) || defined[static_cast<std::size_t>(op.output)]) {
        problem(where + ": writes an undefined or already written tensor");
        return;
      }
      const Result<Shape> shape = infer_shape(op.params, shapes);
      if (!shape.ok()) {
        problem(where + ": " + shape.error().message());
        return;
      }
      if (!(*shape == graph_.tensor(op.output).shape)) problem(where + ": output shape is wrong");
      if (op.clamp_low < -128 || op.clamp_high > 127 || op.clamp_low > op.clamp_high) {
        problem(
            fmt::format("{}: clamp {}..{} is not within int8", where, op.clamp_low, op.clamp_high));
      }
      std::visit([&](const auto& params) { check(params, op, where); }, op.params);
      defined[static_cast<std::size_t>(op.output)] = true;
    }
    if (!defined[static_cast<std::size_t>(graph_.features)]) problem("features are never written");
  }

  void check_factor(double factor, const std::string& where) {
    if (!(factor >= 0) || factor >= kMaxFixedPointFactor) {
      problem(fmt::format("{}: rescaling factor {} is out of range", where, factor));
    }
  }

  void check(const Conv2D& conv, const Op& op, const std::string& where) {
    const auto out = static_cast<std::size_t>(conv.out_channels);
    const std::size_t weights = out * static_cast<std::size_t>(conv.window.kernel_h) *
                                static_cast<std::size_t>(conv.window.kernel_w) *
                                static_cast<std::size_t>(conv.in_per_group());
    if (conv.weights.size() != weights || conv.weight_scales.size() != out ||
        conv.bias.size() != out) {
      problem(where + ": weights, scales or bias have the wrong size");
      return;
    }
    const double ratio = static_cast<double>(graph_.tensor(op.inputs[0]).quantization.scale) /
                         graph_.tensor(op.output).quantization.scale;
    for (const float scale : conv.weight_scales) {
      if (!usable_scale(scale)) {
        problem(fmt::format("{}: weight scale {} is not a positive number", where, scale));
        break;
      }
      check_factor(ratio * scale, where);
    }
  }
  void check(const Add&, const Op& op, const std::string& where) {
    for (const TensorId id : op.inputs) check_rescaling(id, op, where);
  }
  void check(const Rescale&, const Op& op, const std::string& where) {
    check_rescaling(op.inputs[0], op, where);
  }
  void check(const Mul&, const Op& op, const std::string& where) {
    check_factor(product_factor(graph_, op), where);
  }
  void check(const Concat&, const Op& op, const std::string& where) {
    for (const TensorId id : op.inputs) check_same_quantisation(id, op, where);
    check_unclamped(op, where, "what is put side by side has no clamp");
  }
  void check(const Select&, const Op& op, const std::string& where) {
    check_same_quantisation(op.inputs[0], op, where);
    check_unclamped(op, where, "a selection of channels has no clamp");
  }
  void check(const Lookup& table, const Op& op, const std::string& where) {
    if (!std::all_of(table.derivatives.begin(), table.derivatives.end(),
                     [](float d) { return std::isfinite(d); })) {
      problem(where + ": a derivative is not a finite number");
    }
    check_unclamped(op, where, "a table clamps by itself");
  }
  void check(const AveragePool&, const Op& op, const std::string& where) {
    if (requantizes_mean(graph_, op)) {
      check_rescaling(op.inputs[0], op, where);
    } else {
      check_unclamped(op, where, kKeepsRange);
    }
  }
  void check(const MaxPool&, const Op& op, const std::string& where) {
    check_same_quantisation(op.inputs[0], op, where);
    check_unclamped(op, where, kKeepsRange);
  }

  void check_same_quantisation(TensorId in, const Op& op, const std::string& where) {
    if (!(graph_.tensor(in).quantization == graph_.tensor(op.output).quantization)) {
      problem(where + ": input and output quantisation differ");
    }
  }
  void check_rescaling(TensorId in, const Op& op, const std::string& where) {
    check_factor(static_cast<double>(graph_.tensor(in).quantization.scale) /
                     graph_.tensor(op.output).quantization.scale,
                 where);
  }
  // What a pool picks or averages lies in the range of its input.
  static constexpr std::string_view kKeepsRange = "a pool that keeps its quantisation has no clamp";
  void check_unclamped(const Op& op, const std::string& where, std::string_view why) {
    if (op.clamp_low != -128 || op.clamp_high != 127) problem(fmt::format("{}: {}", where, why));
  }

  void check_head() {
    const auto features = static_cast<std::size_t>(graph_.head.features);
    const auto classes = static_cast<std::size_t>(graph_.head.classes);
    if (graph_.head.features != graph_.tensor(graph_.features).shape.elements() ||
        graph_.head.classes < 1 || graph_.head.weights.size() != features * classes ||
        graph_.head.bias.size() != classes ||
        (!graph_.head.class_names.empty() && graph_.head.class_names.size() != classes)) {
      problem("the head does not fit its features");
    }
  }

  const Graph& graph_;
  std::vector<std::string> problems_;
};

}  // namespace

Status verify(const Graph& graph) { return Verifier(graph).run(); }

}  // namespace espalier::ir
