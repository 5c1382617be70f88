#include "espalier/compiler/differentiate.hpp"

#include <algorithm>
#include <utility>

#include "runtime/espalier_runtime.h"

namespace espalier::compiler {
namespace {

Element winner_element(const ir::Window& window) {
  switch (esp_winner_bits(window.kernel_h * window.kernel_w)) {
    case 2:
      return Element::kWinner2;
    case 4:
      return Element::kWinner4;
    case 8:
      return Element::kWinner8;
    default:
      return Element::kWinner16;
  }
}

class Differentiator {
 public:
  Differentiator(const ir::Graph& graph, const plan::UpdatePlan& plan, int accumulate)
      : forward_(graph), plan_(plan), convs_(ir::conv_ops(graph)) {
    result_.forward = &graph;
    result_.accumulate = accumulate;
    activation_.assign(graph.tensors.size(), -1);
    kept_.assign(graph.ops.size(), -1);
    gradient_.assign(graph.tensors.size(), -1);
    parts_.assign(graph.tensors.size(), 0);
    result_.values.reserve(8 * graph.ops.size() + 8);
    result_.nodes.reserve(7 * graph.ops.size() + 8);
  }

  TrainingGraph run() {
    list_trained();
    trace();
    result_.backward_begin = static_cast<int>(result_.nodes.size());
    differentiate_head();
    for (std::size_t op = forward_.ops.size(); op-- > 0;) differentiate_op(static_cast<int>(op));
    apply();
    return std::move(result_);
  }

 private:
  ValueId make(Role role, Element element, int index, std::int64_t elements, int part = 0) {
    result_.values.push_back({role, element, index, part, elements, -1});
    return static_cast<ValueId>(result_.values.size()) - 1;
  }
  Node& push(NodeKind kind, int op, std::array<ValueId, 3> inputs,
             std::array<ValueId, 3> outputs = {-1, -1, -1}) {
    Node node;
    node.kind = kind;
    node.op = op;
    node.inputs = inputs;
    node.outputs = outputs;
    result_.nodes.push_back(node);
    return result_.nodes.back();
  }
  [[nodiscard]] const ir::Op& op_at(int op) const {
    return forward_.ops[static_cast<std::size_t>(op)];
  }
  [[nodiscard]] ValueId& gradient(ir::TensorId id) {
    return gradient_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] ValueId activation(ir::TensorId id) const {
    return activation_[static_cast<std::size_t>(id)];
  }

  void list_trained() {
    result_.trained_of_op.assign(forward_.ops.size(), -1);
    for (int conv = 0; conv < conv_count(); ++conv) {
      const auto channels = plan::trained_channels(plan_, conv);
      TrainedConv trained;
      trained.op = convs_[static_cast<std::size_t>(conv)];
      trained.conv = conv;
      trained.bias = conv >= conv_count() - plan_.bias_depth;
      trained.weights = channels.has_value() && !channels->empty();
      if (trained.weights &&
          static_cast<int>(channels->size()) < conv_of(forward_, trained.op)->in_channels) {
        trained.channels.assign(channels->begin(), channels->end());
        for (std::int64_t turn = 1; turn < plan::turns(plan_, conv); ++turn) {
          const auto next = *plan::trained_channels(plan_, conv, turn);
          trained.next_channels.emplace_back(next.begin(), next.end());
        }
      }
      if (!trained.bias && !trained.weights) continue;
      result_.trained_of_op[static_cast<std::size_t>(trained.op)] =
          static_cast<int>(result_.trained.size());
      result_.trained.push_back(std::move(trained));
    }
  }

  [[nodiscard]] int conv_count() const { return static_cast<int>(convs_.size()); }

  void trace() {
    for (std::size_t id = 0; id < forward_.tensors.size(); ++id) {
      const auto tensor = static_cast<ir::TensorId>(id);
      activation_[id] =
          make(Role::kActivation, Element::kInt8, tensor, forward_.tensors[id].shape.elements());
    }
    result_.input = activation(forward_.input);
    for (std::size_t i = 0; i < forward_.ops.size(); ++i) {
      const ir::Op& op = forward_.ops[i];
      const int position = static_cast<int>(i);
      const bool two = op.inputs.size() > 1;
      struct Kind {
        NodeKind operator()(const ir::Conv2D&) const { return NodeKind::kConvForward; }
        NodeKind operator()(const ir::Add&) const { return NodeKind::kAddForward; }
        NodeKind operator()(const ir::Rescale&) const { return NodeKind::kRescaleForward; }
        NodeKind operator()(const ir::Mul&) const { return NodeKind::kMulForward; }
        NodeKind operator()(const ir::Concat&) const { return NodeKind::kConcatForward; }
        NodeKind operator()(const ir::Select&) const { return NodeKind::kSelectForward; }
        NodeKind operator()(const ir::Lookup&) const { return NodeKind::kLookupForward; }
        NodeKind operator()(const ir::AveragePool&) const { return NodeKind::kAveragePoolForward; }
        NodeKind operator()(const ir::MaxPool&) const { return NodeKind::kMaxPoolForward; }
      };
      const NodeKind kind = std::visit(Kind{}, op.params);
      if (ir::saturates(forward_, op)) {
        kept_[i] = make(Role::kMask, Element::kByteMask, position,
                        forward_.tensor(op.output).shape.elements());
      } else if (const auto* pool = std::get_if<ir::MaxPool>(&op.params)) {
        kept_[i] = make(Role::kWinners, winner_element(pool->window), position,
                        forward_.tensor(op.output).shape.elements());
      }
      if (kind == NodeKind::kConcatForward) {
        trace_concat(position);
        continue;
      }
      push(kind, position, {activation(op.inputs[0]), two ? activation(op.inputs[1]) : -1, -1},
           {activation(op.output), kept_[i], -1});
    }
    push(NodeKind::kHeadForward, -1, {activation(forward_.features), -1, -1});
  }

  // A node an operand: each adds its channels to what the one before has left in the same memory.
  void trace_concat(int position) {
    const ir::Op& op = op_at(position);
    ValueId made = -1;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const ValueId before = made;
      const bool last = i + 1 == op.inputs.size();
      made = last ? activation(op.output)
                  : make(Role::kActivation, Element::kInt8, op.output,
                         forward_.tensor(op.output).shape.elements(), static_cast<int>(i) + 1);
      result_.value(made).in_place_of = before;
      push(NodeKind::kConcatForward, position, {activation(op.inputs[i]), before, -1},
           {made, -1, -1})
          .operand = static_cast<int>(i);
    }
  }

  void differentiate_head() {
    const ir::Head& head = forward_.head;
    const ValueId logits = make(Role::kLogitGradient, Element::kFloat32, -1, head.classes);
    push(NodeKind::kLossGradient, -1, {-1, -1, -1}, {logits, -1, -1});
    gradient(forward_.features) =
        make(Role::kGradient, Element::kFloat32, forward_.features, head.features);
    parts_[static_cast<std::size_t>(forward_.features)] = 1;
    push(NodeKind::kHeadInputGradient, -1, {logits, -1, -1}, {gradient(forward_.features), -1, -1});
    const std::array<ValueId, 3> inputs{logits, activation(forward_.features), -1};
    if (result_.accumulate > 1) {
      push(NodeKind::kHeadGradient, -1, inputs).sink = Sink::kAdd;
      return;
    }
    head_weights_ = make(Role::kHeadWeightGradient, Element::kFloat32, -1,
                         std::int64_t{head.features} * head.classes);
    head_bias_ = make(Role::kHeadBiasGradient, Element::kFloat32, -1, head.classes);
    push(NodeKind::kHeadGradient, -1, inputs, {head_weights_, head_bias_, -1});
  }

  // One more contribution to dL/d(tensor), made by a node that push_node(output) appends.
  template <typename PushNode>
  void contribute(ir::TensorId tensor, PushNode push_node) {
    const auto next = [&] {
      return make(Role::kGradient, Element::kFloat32, tensor,
                  forward_.tensor(tensor).shape.elements(),
                  parts_[static_cast<std::size_t>(tensor)]++);
    };
    const ValueId part = next();
    push_node(part);
    if (gradient(tensor) < 0) {
      gradient(tensor) = part;
      return;
    }
    const ValueId sum = next();
    push(NodeKind::kGradientSum, -1, {part, gradient(tensor), -1}, {sum, -1, -1});
    gradient(tensor) = sum;
  }

  void differentiate_op(int position) {
    const ir::Op& op = op_at(position);
    const ValueId dy = gradient(op.output);
    if (dy < 0) return;  // nothing needs it
    std::visit([&](const auto& params) { differentiate(position, params, dy); }, op.params);
  }

  void differentiate(int position, const ir::Conv2D& conv, ValueId dy) {
    differentiate_conv(position, conv, dy, kept_[static_cast<std::size_t>(position)]);
  }
  void differentiate(int position, const ir::Add&, ValueId dy) { rescale_inputs(position, dy); }
  void differentiate(int position, const ir::Rescale&, ValueId dy) { rescale_inputs(position, dy); }
  void differentiate(int position, const ir::Mul&, ValueId dy) {
    const ir::Op& op = op_at(position);
    const ValueId mask = kept_[static_cast<std::size_t>(position)];
    for (const std::size_t i : {0U, 1U}) {
      if (op.inputs[i] == forward_.input) continue;
      contribute(op.inputs[i], [&](ValueId dx) {
        push(NodeKind::kMulGradient, position, {dy, mask, activation(op.inputs[1 - i])},
             {dx, -1, -1})
            .operand = static_cast<int>(i);
      });
    }
  }
  void differentiate(int position, const ir::Concat&, ValueId dy) {
    const ir::Op& op = op_at(position);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (op.inputs[i] == forward_.input) continue;
      contribute(op.inputs[i], [&](ValueId dx) {
        push(NodeKind::kConcatGradient, position, {dy, -1, -1}, {dx, -1, -1}).operand =
            static_cast<int>(i);
      });
    }
  }
  void differentiate(int position, const ir::Select&, ValueId dy) {
    const ir::TensorId input = op_at(position).inputs[0];
    if (input == forward_.input) return;
    contribute(input, [&](ValueId dx) {
      push(NodeKind::kSelectGradient, position, {dy, -1, -1}, {dx, -1, -1});
    });
  }
  void differentiate(int position, const ir::Lookup&, ValueId dy) {
    const ir::TensorId input = op_at(position).inputs[0];
    if (input == forward_.input) return;
    contribute(input, [&](ValueId dx) {
      push(NodeKind::kLookupGradient, position, {dy, activation(input), -1}, {dx, -1, -1});
    });
  }
  void differentiate(int position, const ir::AveragePool&, ValueId dy) {
    const ir::Op& op = op_at(position);
    if (op.inputs[0] == forward_.input) return;
    ValueId g = dy;
    if (ir::requantizes_mean(forward_, op)) {
      g = make(Role::kScaledGradient, Element::kFloat32, position,
               forward_.tensor(op.output).shape.elements());
      push(NodeKind::kMaskScale, position, {dy, kept_[static_cast<std::size_t>(position)], -1},
           {g, -1, -1});
    }
    contribute(op.inputs[0], [&](ValueId dx) {
      push(NodeKind::kPoolGradient, position, {g, -1, -1}, {dx, -1, -1});
    });
  }
  void differentiate(int position, const ir::MaxPool&, ValueId dy) {
    const ir::TensorId input = op_at(position).inputs[0];
    if (input == forward_.input) return;
    contribute(input, [&](ValueId dx) {
      push(NodeKind::kMaxPoolGradient, position,
           {dy, kept_[static_cast<std::size_t>(position)], -1}, {dx, -1, -1});
    });
  }

  // dL/dx of every input: masked and rescaled.
  void rescale_inputs(int position, ValueId dy) {
    const ir::Op& op = op_at(position);
    const ValueId mask = kept_[static_cast<std::size_t>(position)];
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (op.inputs[i] == forward_.input) continue;
      contribute(op.inputs[i], [&](ValueId dx) {
        push(NodeKind::kMaskScale, position, {dy, mask, -1}, {dx, -1, -1}).operand =
            static_cast<int>(i);
      });
    }
  }

  void differentiate_conv(int position, const ir::Conv2D& conv, ValueId dy, ValueId mask) {
    const ir::Op& op = op_at(position);
    const TrainedConv* trained = result_.trained_conv(position);
    const ValueId g = make(Role::kScaledGradient, Element::kFloat32, position,
                           forward_.tensor(op.output).shape.elements());
    push(NodeKind::kMaskScale, position, {dy, mask, -1}, {g, -1, -1});
    const bool sum_up = result_.accumulate > 1;
    if (trained != nullptr && trained->bias && sum_up) {
      push(NodeKind::kBiasGradient, position, {g, -1, -1}).sink = Sink::kAdd;
    } else {
      const ValueId db = make(Role::kBiasGradient, Element::kFloat32, position, conv.out_channels);
      push(NodeKind::kBiasGradient, position, {g, -1, -1}, {db, -1, -1});
      if (trained != nullptr && trained->bias) bias_gradients_.push_back({position, db});
    }
    const std::array<ValueId, 3> inputs{g, activation(op.inputs[0]), -1};
    if (trained != nullptr && trained->weights && sum_up) {
      push(NodeKind::kWeightGradient, position, inputs).sink = Sink::kAdd;
    } else {
      const ValueId dw = make(Role::kWeightGradient, Element::kFloat32, position,
                              static_cast<std::int64_t>(conv.weights.size()));
      push(NodeKind::kWeightGradient, position, inputs, {dw, -1, -1});
      if (trained != nullptr && trained->weights) weight_gradients_.push_back({position, dw});
    }
    if (op.inputs[0] == forward_.input) return;
    contribute(op.inputs[0], [&](ValueId dx) {
      push(NodeKind::kInputGradient, position, {g, -1, -1}, {dx, -1, -1});
    });
  }

  void apply() {
    if (result_.accumulate == 1) {
      for (const auto& [op, db] : bias_gradients_) push(NodeKind::kApplyBias, op, {db, -1, -1});
      for (const auto& [op, dw] : weight_gradients_) {
        push(NodeKind::kApplyWeights, op, {dw, -1, -1});
      }
      push(NodeKind::kApplyHead, -1, {head_weights_, head_bias_, -1});
      return;
    }
    const auto update = [&](NodeKind kind, int op) {
      Node node;
      node.kind = kind;
      node.op = op;
      result_.update.push_back(node);
    };
    for (const TrainedConv& t : result_.trained) {
      if (t.bias) update(NodeKind::kApplyBias, t.op);
      if (t.weights) update(NodeKind::kApplyWeights, t.op);
    }
    update(NodeKind::kApplyHead, -1);
  }

  const ir::Graph& forward_;
  const plan::UpdatePlan& plan_;
  std::vector<int> convs_;  // positions of the convolutions, by conv index
  TrainingGraph result_;
  std::vector<ValueId> activation_;  // by tensor
  std::vector<ValueId> kept_;        // by op: what the gradient needs to know, mask or winners
  std::vector<ValueId> gradient_;    // by tensor: the sum so far
  std::vector<int> parts_;           // by tensor: contributions made
  std::vector<std::pair<int, ValueId>> bias_gradients_;
  std::vector<std::pair<int, ValueId>> weight_gradients_;
  ValueId head_weights_ = -1;
  ValueId head_bias_ = -1;
};

}  // namespace

TrainingGraph differentiate(const ir::Graph& graph, const plan::UpdatePlan& plan, int accumulate) {
  return Differentiator(graph, plan, accumulate).run();
}

}  // namespace espalier::compiler
