#include "espalier/engine/engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codegen/kernel_choice.hpp"
#include "espalier/compiler/kernel_choice.hpp"
#include "runtime/espalier_kernels.h"

namespace espalier::engine {
namespace {

using codegen::FlashRole;
using compiler::Node;
using compiler::NodeKind;
using compiler::Sink;
using compiler::StateRole;
using compiler::ValueId;
using runtime::Kernel;

constexpr std::int64_t kAbsent = -1;

// Offsets of layout items as a table [role][op + 1].
template <typename Layout>
std::vector<std::vector<std::int64_t>> offsets(const Layout& layout, std::size_t ops) {
  std::vector<std::vector<std::int64_t>> table;
  for (const auto& item : layout.items) {
    const auto role = static_cast<std::size_t>(item.role);
    if (table.size() <= role) table.resize(role + 1);
    if (table[role].empty()) table[role].assign(ops + 1, kAbsent);
    table[role][static_cast<std::size_t>(item.op + 1)] = item.offset;
  }
  return table;
}

std::int64_t lookup(const std::vector<std::vector<std::int64_t>>& table, std::size_t role, int op) {
  if (role >= table.size() || table[role].empty()) return kAbsent;
  return table[role][static_cast<std::size_t>(op + 1)];
}

}  // namespace

Engine::Engine(const compiler::Program& program, const EngineOptions& options)
    : program_(program), options_(options), flash_layout_(codegen::flash_layout(program)) {
  flash_ = codegen::flash_image(program, flash_layout_);
  arena_.assign(static_cast<std::size_t>(program.arena_bytes().count / 4), 0.0F);
  state_.resize(static_cast<std::size_t>(program.state.bytes));
  const std::size_t ops = program.graph.forward->ops.size();
  state_offset_ = offsets(program.state, ops);
  flash_offset_ = offsets(flash_layout_, ops);
  reset();
}

template <typename T>
T* Engine::state_at(StateRole role, int op) {
  const std::int64_t offset = lookup(state_offset_, static_cast<std::size_t>(role), op);
  if (offset == kAbsent) return nullptr;
  return reinterpret_cast<T*>(state_.data() + compiler::kControlBytes + offset);
}

template <typename T>
const T* Engine::flash_at(FlashRole role, int op) const {
  const std::int64_t offset = lookup(flash_offset_, static_cast<std::size_t>(role), op);
  if (offset == kAbsent) return nullptr;
  return reinterpret_cast<const T*>(flash_.data() + offset);
}

template <typename T>
T* Engine::value(ValueId id) {
  if (id < 0) return nullptr;
  return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(arena_.data()) + program_.offset(id));
}

bool Engine::set_learning_rate(float rate) {
  if (!(rate >= 0.0F && std::isfinite(rate))) return false;
  control().rate = rate / 256.0F;
  return true;
}

bool Engine::restore(std::span<const std::byte> block) {
  if (block.size() != state().size()) return false;
  std::memcpy(state_.data(), block.data(), block.size());
  return true;
}

bool Engine::has_class(int label) const {
  return label >= 0 && label < program_.graph.forward->head.classes;
}

void Engine::reset() {
  std::fill(state_.begin(), state_.end(), std::byte{0});
  set_learning_rate(options_.learning_rate);
  control().seed = options_.seed;
  const auto copy = [&](StateRole to, FlashRole from, int op, std::int64_t bytes) {
    std::memcpy(state_at<std::byte>(to, op), flash_at<std::byte>(from, op),
                static_cast<std::size_t>(bytes));
  };
  for (const compiler::StateItem& item : program_.state.items) {
    switch (item.role) {
      case StateRole::kHeadWeights:
        copy(item.role, FlashRole::kHeadWeights, item.op, item.bytes());
        break;
      case StateRole::kHeadBias:
        copy(item.role, FlashRole::kHeadBias, item.op, item.bytes());
        break;
      case StateRole::kBias:
        copy(item.role, FlashRole::kBias, item.op, item.bytes());
        break;
      case StateRole::kWeights:
        copy(item.role,
             program_.graph.trained_conv(item.op)->sliced ? FlashRole::kTrainedWeights
                                                          : FlashRole::kWeights,
             item.op, item.bytes());
        break;
      default:
        break;  // zero
    }
  }
}

void Engine::run_forward(int first) {
  for (int i = first; i < program_.graph.backward_begin; ++i) {
    run(program_.graph.nodes[static_cast<std::size_t>(i)], 0);
  }
}

float Engine::train_step(int label, int first) {
  if (!has_class(label)) return kRefused;
  run_forward(first);
  return run_backward(label);
}

float Engine::run_backward(int label) {
  if (!has_class(label)) return kRefused;
  for (std::size_t i = static_cast<std::size_t>(program_.graph.backward_begin);
       i < program_.graph.nodes.size(); ++i) {
    run(program_.graph.nodes[i], label);
  }
  if (program_.graph.accumulate == 1) {
    ++control().step;
  } else if (++control().waiting == program_.graph.accumulate) {
    for (const Node& node : program_.graph.update) run(node, label);
    for (const compiler::StateItem& item : program_.state.items) {
      switch (item.role) {
        case StateRole::kHeadWeightSum:
        case StateRole::kHeadBiasSum:
        case StateRole::kBiasSum:
        case StateRole::kWeightSum:
          std::memset(state_at<std::byte>(item.role, item.op), 0,
                      static_cast<std::size_t>(item.bytes()));
          break;
        default:
          break;
      }
    }
    control().waiting = 0;
    ++control().step;
  }
  return control().loss;
}

void Engine::run(const Node& node, int label) {
  const ir::Graph& graph = *program_.graph.forward;
  const codegen::KernelChoice choice = codegen::choose_kernel(program_, node);
  const Kernel kernel = compiler::kernel_of(program_.graph, node);
  const esp_sgd sgd{control().rate, esp_mix(control().seed + control().step * 0x9E3779B9U),
                    options_.stochastic ? 1 : 0};
  const auto weights = [&](int op) -> esp_weights {
    const compiler::TrainedConv* trained = program_.graph.trained_conv(op);
    const auto* frozen = flash_at<std::int8_t>(FlashRole::kWeights, op);
    if (trained == nullptr || !trained->weights) return {frozen, nullptr, nullptr, 0};
    auto* resident = state_at<std::int8_t>(StateRole::kWeights, op);
    if (!trained->sliced) return {resident, nullptr, nullptr, 0};
    return {frozen, resident, flash_at<std::int16_t>(FlashRole::kChannels, op),
            static_cast<std::int32_t>(trained->channels.size())};
  };
  const auto requantization = [&](int op) -> esp_requantization {
    const compiler::TrainedConv* trained = program_.graph.trained_conv(op);
    const bool bias = trained != nullptr && trained->bias;
    return {bias ? state_at<std::int32_t>(StateRole::kBias, op)
                 : flash_at<std::int32_t>(FlashRole::kBias, op),
            flash_at<std::int32_t>(FlashRole::kMultiplier, op),
            flash_at<std::uint8_t>(FlashRole::kShift, op)};
  };
  const auto weight_sink = [&](ValueId gradient) -> esp_weight_sink {
    switch (node.sink) {
      case Sink::kStore:
        return {value<float>(gradient), 0, nullptr, nullptr, nullptr, 0};
      case Sink::kAdd:
        return {state_at<float>(StateRole::kWeightSum, node.op), 1, nullptr, nullptr, nullptr, 0};
      case Sink::kApply:
        break;
    }
    return {nullptr,
            0,
            state_at<std::int8_t>(StateRole::kWeights, node.op),
            flash_at<float>(FlashRole::kWeightScale, node.op),
            &sgd,
            codegen::weight_key(node.op)};
  };
  const auto bias_sink = [&]() -> esp_bias_sink {
    switch (node.sink) {
      case Sink::kStore:
        return {value<float>(node.outputs[0]), 0, nullptr, nullptr, nullptr, 0};
      case Sink::kAdd:
        return {state_at<float>(StateRole::kBiasSum, node.op), 1, nullptr, nullptr, nullptr, 0};
      case Sink::kApply:
        break;
    }
    return {nullptr,
            0,
            state_at<std::int32_t>(StateRole::kBias, node.op),
            flash_at<float>(FlashRole::kBiasScale, node.op),
            &sgd,
            codegen::bias_key(node.op)};
  };
  const auto* conv = flash_at<esp_conv>(FlashRole::kConv, node.op);
  const auto* head = flash_at<esp_head>(FlashRole::kHead, -1);
  auto* head_weights = state_at<float>(StateRole::kHeadWeights, -1);
  auto* head_bias = state_at<float>(StateRole::kHeadBias, -1);
  auto* logits = state_at<float>(StateRole::kLogits, -1);
  const compiler::TrainedConv* trained = program_.graph.trained_conv(node.op);
  const bool sliced = trained != nullptr && trained->sliced;
  const auto* channels = sliced ? flash_at<std::int16_t>(FlashRole::kChannels, node.op) : nullptr;
  const std::int32_t count = sliced ? static_cast<std::int32_t>(trained->channels.size()) : 0;
  const auto int8 = [&](ValueId id) { return value<std::int8_t>(id); };
  const auto mask = [&](ValueId id) { return value<std::uint8_t>(id); };
  const auto f32 = [&](ValueId id) { return value<float>(id); };
  const auto narrow = [](std::int64_t n) { return static_cast<std::int32_t>(n); };

  switch (node.kind) {
    case NodeKind::kConvForward: {
      const esp_weights w = weights(node.op);
      const esp_requantization q = requantization(node.op);
      if (kernel == Kernel::esp_depthwise_forward) {
        esp_depthwise_forward(conv, int8(node.inputs[0]), &w, &q, int8(node.outputs[0]),
                              mask(node.outputs[1]), int8(node.scratch));
      } else if (kernel == Kernel::esp_pointwise_forward) {
        esp_pointwise_forward(conv, int8(node.inputs[0]), &w, &q, int8(node.outputs[0]),
                              mask(node.outputs[1]));
      } else {
        esp_conv_forward(conv, int8(node.inputs[0]), &w, &q, int8(node.outputs[0]),
                         mask(node.outputs[1]), int8(node.scratch));
      }
      break;
    }
    case NodeKind::kStreamForward: {
      const esp_weights w1 = weights(node.op);
      const esp_weights w2 = weights(node.operand);
      const esp_requantization q1 = requantization(node.op);
      const esp_requantization q2 = requantization(node.operand);
      esp_stream_forward(conv, int8(node.inputs[0]), &w1, &q1, mask(node.outputs[2]),
                         flash_at<esp_conv>(FlashRole::kConv, node.operand), &w2, &q2,
                         int8(node.outputs[0]), mask(node.outputs[1]), int8(node.scratch));
      break;
    }
    case NodeKind::kAddForward:
    case NodeKind::kRescaleForward:
      esp_add_forward(flash_at<esp_add>(FlashRole::kAdd, node.op), int8(node.inputs[0]),
                      int8(node.inputs[1]), int8(node.outputs[0]), mask(node.outputs[1]));
      break;
    case NodeKind::kAveragePoolForward:
      esp_average_pool_forward(flash_at<esp_pool>(FlashRole::kPool, node.op), int8(node.inputs[0]),
                               int8(node.outputs[0]));
      break;
    case NodeKind::kMaxPoolForward:
      esp_max_pool_forward(flash_at<esp_pool>(FlashRole::kPool, node.op), int8(node.inputs[0]),
                           int8(node.outputs[0]), mask(node.outputs[1]));
      break;
    case NodeKind::kSaveChannels:
      esp_save_channels(int8(node.inputs[0]), narrow(choice.pixels_in), narrow(choice.channels_in),
                        channels, count, int8(node.outputs[0]));
      break;
    case NodeKind::kHeadForward:
      esp_head_forward(head, int8(node.inputs[0]), head_weights, head_bias, logits);
      break;
    case NodeKind::kLossGradient:
      esp_loss_gradient(graph.head.classes, logits, label, f32(node.outputs[0]), &control().loss);
      break;
    case NodeKind::kHeadInputGradient:
      esp_head_input_gradient(head, f32(node.inputs[0]), head_weights, f32(node.outputs[0]));
      break;
    case NodeKind::kHeadGradient:
      if (node.sink == Sink::kApply) {
        esp_head_update(head, f32(node.inputs[0]), int8(node.inputs[1]), head_weights, head_bias,
                        &sgd);
      } else if (node.sink == Sink::kAdd) {
        esp_head_gradient(head, f32(node.inputs[0]), int8(node.inputs[1]),
                          state_at<float>(StateRole::kHeadWeightSum, -1),
                          state_at<float>(StateRole::kHeadBiasSum, -1), 1);
      } else {
        esp_head_gradient(head, f32(node.inputs[0]), int8(node.inputs[1]), f32(node.outputs[0]),
                          f32(node.outputs[1]), 0);
      }
      break;
    case NodeKind::kMaskScale:
      if (conv != nullptr) {
        esp_mask_scale_channels(narrow(choice.pixels_out), narrow(choice.channels_out),
                                f32(node.inputs[0]), mask(node.inputs[1]), choice.mask_bits,
                                flash_at<float>(FlashRole::kFactor, node.op), f32(node.outputs[0]));
      } else {
        esp_mask_scale(narrow(choice.pixels_out * choice.channels_out), f32(node.inputs[0]),
                       mask(node.inputs[1]), choice.mask_bits, choice.factor, f32(node.outputs[0]),
                       node.inputs[2] >= 0 ? 1 : 0);
      }
      break;
    case NodeKind::kBiasGradient: {
      const esp_bias_sink sink = bias_sink();
      esp_bias_gradient(narrow(choice.pixels_out), narrow(choice.channels_out), f32(node.inputs[0]),
                        &sink);
      break;
    }
    case NodeKind::kWeightGradient: {
      const esp_weight_sink sink = weight_sink(node.outputs[0]);
      (kernel == Kernel::esp_depthwise_weight_gradient ? esp_depthwise_weight_gradient
                                                       : esp_weight_gradient)(
          conv, f32(node.inputs[0]), int8(node.inputs[1]), channels, count, &sink);
      break;
    }
    case NodeKind::kInputGradient: {
      const esp_weights w = weights(node.op);
      const std::int32_t add = node.inputs[1] >= 0 ? 1 : 0;
      if (kernel == Kernel::esp_depthwise_input_gradient) {
        esp_depthwise_input_gradient(conv, f32(node.inputs[0]), &w, f32(node.outputs[0]), add,
                                     f32(node.scratch));
      } else {
        (kernel == Kernel::esp_pointwise_input_gradient
             ? esp_pointwise_input_gradient
             : esp_input_gradient)(conv, f32(node.inputs[0]), &w, f32(node.outputs[0]), add);
      }
      break;
    }
    case NodeKind::kDepthwiseBackward: {
      const esp_weights w = weights(node.op);
      const bool with_weights = node.inputs[1] >= 0;
      const esp_weight_sink sink = with_weights ? weight_sink(-1) : esp_weight_sink{};
      esp_depthwise_backward(conv, f32(node.inputs[0]), &w, int8(node.inputs[1]),
                             with_weights ? channels : nullptr, with_weights ? count : 0,
                             with_weights ? &sink : nullptr, f32(node.scratch));
      break;
    }
    case NodeKind::kPoolGradient:
      esp_pool_gradient(flash_at<esp_pool>(FlashRole::kPool, node.op), f32(node.inputs[0]),
                        f32(node.outputs[0]));
      break;
    case NodeKind::kMaxPoolGradient:
      esp_max_pool_gradient(flash_at<esp_pool>(FlashRole::kPool, node.op), f32(node.inputs[0]),
                            mask(node.inputs[1]), f32(node.outputs[0]));
      break;
    case NodeKind::kGradientSum:
      esp_gradient_sum(narrow(program_.graph.value(node.outputs[0]).elements), f32(node.inputs[0]),
                       f32(node.inputs[1]), f32(node.outputs[0]));
      break;
    case NodeKind::kApplyWeights:
      esp_apply_weights(conv, flash_at<std::int16_t>(FlashRole::kChannels, node.op),
                        narrow(static_cast<std::int64_t>(trained->channels.size())), sliced ? 1 : 0,
                        node.inputs[0] >= 0 ? f32(node.inputs[0])
                                            : state_at<float>(StateRole::kWeightSum, node.op),
                        state_at<std::int8_t>(StateRole::kWeights, node.op),
                        flash_at<float>(FlashRole::kWeightScale, node.op), &sgd,
                        codegen::weight_key(node.op));
      break;
    case NodeKind::kApplyBias:
      esp_apply_bias(
          narrow(choice.channels_out),
          node.inputs[0] >= 0 ? f32(node.inputs[0]) : state_at<float>(StateRole::kBiasSum, node.op),
          state_at<std::int32_t>(StateRole::kBias, node.op),
          flash_at<float>(FlashRole::kBiasScale, node.op), &sgd, codegen::bias_key(node.op));
      break;
    case NodeKind::kApplyHead:
      esp_apply_floats(graph.head.features * graph.head.classes,
                       node.inputs[0] >= 0 ? f32(node.inputs[0])
                                           : state_at<float>(StateRole::kHeadWeightSum, -1),
                       head_weights, &sgd);
      esp_apply_floats(
          graph.head.classes,
          node.inputs[1] >= 0 ? f32(node.inputs[1]) : state_at<float>(StateRole::kHeadBiasSum, -1),
          head_bias, &sgd);
      break;
  }
}

std::span<const std::byte> Engine::state(StateRole role, int op) const {
  const compiler::StateItem* item = program_.state.find(role, op);
  if (item == nullptr) return {};
  return state().subspan(static_cast<std::size_t>(compiler::kControlBytes + item->offset),
                         static_cast<std::size_t>(item->bytes()));
}

std::span<const float> Engine::logits() const {
  const std::span<const std::byte> bytes = state(StateRole::kLogits, -1);
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

ir::Graph Engine::tuned_graph() const {
  ir::Graph graph = *program_.graph.forward;
  const auto copy = [&](StateRole role, int op, void* to) {
    const std::span<const std::byte> from = state(role, op);
    std::memcpy(to, from.data(), from.size());
  };
  copy(StateRole::kHeadWeights, -1, graph.head.weights.data());
  copy(StateRole::kHeadBias, -1, graph.head.bias.data());
  for (const compiler::TrainedConv& t : program_.graph.trained) {
    auto& conv = std::get<ir::Conv2D>(graph.ops[static_cast<std::size_t>(t.op)].params);
    if (t.bias) copy(StateRole::kBias, t.op, conv.bias.data());
    if (!t.weights) continue;
    const std::span<const std::byte> kept = state(StateRole::kWeights, t.op);
    std::size_t at = 0;
    for (const std::size_t position : compiler::resident_positions(program_.graph, t)) {
      conv.weights[position] = static_cast<std::int8_t>(kept[at++]);
    }
  }
  return graph;
}

}  // namespace espalier::engine
