#include "espalier/train/session.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "espalier/kernels/simd.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/train/recipe.hpp"

namespace espalier::train {
namespace {

using kernels::kernels;
using kernels::padded;

// Half to even, for |x| < 2^22; the baseline instruction set has no faster instruction.
float round_half_even(float x) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

std::int32_t round_to_int32(float x) {
  const double rounded = std::nearbyint(static_cast<double>(x));
  return static_cast<std::int32_t>(
      std::clamp(rounded, static_cast<double>(std::numeric_limits<std::int32_t>::min()),
                 static_cast<double>(std::numeric_limits<std::int32_t>::max())));
}

// gradient / scale^2; dead channels have a scale whose square may vanish, and may have a gradient.
float quantization_aware(float gradient, float scale) {
  return gradient == 0.0F || !has_inverse_square(scale) ? 0.0F : gradient / (scale * scale);
}

// A weight as int8 holds it. Files may hold -128; training does not go there.
float stored_weight(float master, std::int8_t initial) {
  return std::clamp(round_half_even(master), initial == -128 ? -128.0F : -127.0F, 127.0F);
}

}  // namespace

bool has_inverse_square(float scale) {
  constexpr float kLeast = 1 / std::numeric_limits<float>::max();
  return scale * scale >= kLeast;
}

ir::Head fresh_head(int features, int classes, std::uint64_t seed) {
  Rng rng{seed, 0x48454144};  // "HEAD"
  const double bound = 1.0 / std::sqrt(static_cast<double>(features));
  ir::Head head;
  head.features = features;
  head.classes = classes;
  head.weights.resize(static_cast<std::size_t>(features) * static_cast<std::size_t>(classes));
  head.bias.resize(static_cast<std::size_t>(classes));
  for (float& w : head.weights) w = static_cast<float>(rng.uniform(-bound, bound));
  for (float& b : head.bias) b = static_cast<float>(rng.uniform(-bound, bound));
  return head;
}

// ---- Workspace -------------------------------------------------------------------------------

Workspace::Workspace(const Session& session, Passes passes)
    : passes_(passes),
      last_reader_(session.last_readers(passes == Passes::kForwardAndBackward)),
      lone_reader_(passes == Passes::kForward
                       ? session.lone_readers()
                       : std::vector<int>(session.network().graph().tensors.size(), -1)),
      slot_of_tensor_(session.slot_of_tensor_),
      borrowed_(session.borrowed_) {
  const Network& network = session.network();
  const ir::Graph& graph = network.graph();
  activations_.resize(graph.tensors.size(), nullptr);
  for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
    sample_size_.push_back(
        static_cast<std::ptrdiff_t>(network.elements(static_cast<ir::TensorId>(id))));
  }
  masks_.resize(graph.ops.size());
  places_.reserve(kChunk);
  features_.assign(static_cast<std::size_t>(session.feature_stride()) * kChunk, 0.0F);
  logits_.assign(static_cast<std::size_t>(session.logit_stride()) * kChunk, 0.0F);
  for (const ir::TensorId id : network.live_at(session.cut())) keep(network, id);
  if (passes == Passes::kForward) {
    share(session);
    return;
  }
  for (std::size_t i = static_cast<std::size_t>(session.cut()); i < graph.ops.size(); ++i) {
    keep(network, graph.ops[i].output);
    if (session.active_op_[i]) masks_[i].resize(network.elements(graph.ops[i].output) * kChunk);
  }
  for (const Session::GradientSlot& slot : session.slots_) {
    gradient_slots_.emplace_back(slot.size * (slot.chunk ? kChunk : 1), 0.0F);
  }
  for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
    gradient_step_.push_back(
        session.chunk_tensor_[id] ? network.elements(static_cast<ir::TensorId>(id)) : 0);
  }
  feature_gradient_.assign(features_.size(), 0.0F);
}

// Memory of its own for a whole chunk of a tensor.
void Workspace::keep(const Network& network, ir::TensorId id) {
  buffers_.emplace_back(network.elements(id) * kChunk, std::int8_t{0});
  activations_[static_cast<std::size_t>(id)] = buffers_.back().data();
}

// Tensors take the buffer that was last given up: of one sample before the split, of a chunk behind
// it. What crosses the split keeps its own.
void Workspace::share(const Session& session) {
  const Network& network = session.network();
  const ir::Graph& graph = network.graph();
  const int past = static_cast<int>(graph.ops.size());
  std::vector<std::size_t> sizes;                     // of shared buffers
  std::vector<int> shared(graph.tensors.size(), -1);  // which one a tensor has
  std::vector<int> given_up[2];                       // of a sample, of a chunk
  for (int op = session.cut(); op < past; ++op) {
    const ir::Op& node = graph.ops[static_cast<std::size_t>(op)];
    const int group = op < session.split_ ? 0 : 1;
    const auto last = [&](ir::TensorId id) { return last_reader_[static_cast<std::size_t>(id)]; };
    if (last(node.output) >= (group == 0 ? session.split_ : past)) {
      keep(network, node.output);
    } else {
      if (given_up[group].empty()) {
        given_up[group].push_back(static_cast<int>(sizes.size()));
        sizes.push_back(0);
      }
      const int buffer = given_up[group].back();
      given_up[group].pop_back();
      shared[static_cast<std::size_t>(node.output)] = buffer;
      std::size_t& size = sizes[static_cast<std::size_t>(buffer)];
      size = std::max(size, network.elements(node.output) * (group == 0 ? 1 : kChunk));
    }
    // What nothing reads any more. An op may read a tensor twice.
    std::vector<ir::TensorId> done = node.inputs;
    done.push_back(node.output);
    for (const ir::TensorId id : done) {
      const int buffer = shared[static_cast<std::size_t>(id)];
      if (buffer < 0 || last(id) > op) continue;
      const bool again = std::find(given_up[group].begin(), given_up[group].end(), buffer) !=
                         given_up[group].end();
      if (!again) given_up[group].push_back(buffer);
    }
  }
  const std::size_t first = buffers_.size();
  for (const std::size_t size : sizes) buffers_.emplace_back(size, std::int8_t{0});
  for (std::size_t id = 0; id < shared.size(); ++id) {
    if (shared[id] < 0) continue;
    activations_[id] = buffers_[first + static_cast<std::size_t>(shared[id])].data();
  }
}

float* Workspace::gradient(ir::TensorId tensor, int first) {
  const auto id = static_cast<std::size_t>(tensor);
  return gradient_slots_[static_cast<std::size_t>(slot_of_tensor_[id])].data() +
         gradient_step_[id] * static_cast<std::size_t>(first);
}

std::size_t Workspace::bytes() const {
  std::size_t total = scratch_.bytes();
  for (const auto& buffer : buffers_) total += buffer.size();
  for (const auto& buffer : masks_) total += buffer.size();
  for (const auto& buffer : gradient_slots_) total += buffer.size() * sizeof(float);
  return total + (features_.size() + feature_gradient_.size() + logits_.size()) * sizeof(float);
}

// ---- Session: construction -------------------------------------------------------------------

Session::Session(const Network& network, const plan::UpdatePlan& plan, ir::Head head, int cut)
    : network_(&network), head_(std::move(head)) {
  const ir::Graph& graph = network.graph();
  trained_.resize(graph.ops.size());
  for (std::size_t index = 0; index < network.convs().size(); ++index) {
    const auto conv_index = static_cast<int>(index);
    const auto op = static_cast<std::size_t>(network.convs()[index]);
    const auto channels = plan::trained_channels(plan, conv_index);
    const bool bias = plan::trains_bias(plan, graph, conv_index);
    if (!bias && !channels) continue;
    const auto& conv = std::get<ir::Conv2D>(graph.ops[op].params);
    auto trained = std::make_unique<Trained>();
    trained->bias = bias;
    trained->weights = channels.has_value() && !channels->empty();
    trained->requantization = network.ops()[op].requantization;
    if (bias) trained->master_bias.assign(conv.bias.begin(), conv.bias.end());
    if (trained->weights) {
      trained->master_weights.assign(conv.weights.begin(), conv.weights.end());
      trained->layout = kernels::WeightGradientLayout(network.ops()[op].geometry, *channels);
      trained->packed = network.ops()[op].weights;
      for (std::int64_t turn = 0; turn < plan::turns(plan, conv_index); ++turn) {
        const auto set = *plan::trained_channels(plan, conv_index, turn);
        trained->sets.emplace_back(set.begin(), set.end());
      }
    }
    trained_[op] = std::move(trained);
  }
  const int first_trained = plan::training_cut(plan, graph);
  cut_ = cut < 0 ? first_trained : std::min(cut, first_trained);

  // Gradients pass an op that trains, or follows one that does, and that the head depends on.
  std::vector<bool> used(graph.tensors.size(), false);
  used[static_cast<std::size_t>(graph.features)] = true;
  for (std::size_t i = graph.ops.size(); i-- > 0;) {
    if (!used[static_cast<std::size_t>(graph.ops[i].output)]) continue;
    for (const ir::TensorId id : graph.ops[i].inputs) used[static_cast<std::size_t>(id)] = true;
  }
  active_op_.assign(graph.ops.size(), false);
  active_tensor_.assign(graph.tensors.size(), false);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (!used[static_cast<std::size_t>(graph.ops[i].output)]) continue;
    bool active = trained_[i] != nullptr;
    for (const ir::TensorId id : graph.ops[i].inputs) {
      active = active || active_tensor_[static_cast<std::size_t>(id)];
    }
    active_op_[i] = active;
    active_tensor_[static_cast<std::size_t>(graph.ops[i].output)] = active;
  }
  split_ = find_split();
  borrowed_ = find_borrowed();
  plan_gradient_slots();
  pack_head();
}

// The first ops work on large maps. Taken sample by sample, each op finds what the one before it
// wrote still in the cache, and gradients need room for one sample only. The order of sums is the
// same while the rows of a sample are whole blocks of kGemmDepth.
int Session::find_split() const {
  constexpr std::int64_t kLargeMap = 256;  // pixels
  static_assert(kLargeMap >= kernels::kGemmDepth);
  const ir::Graph& graph = network_->graph();
  auto op = static_cast<std::size_t>(cut_);
  for (; op < graph.ops.size(); ++op) {
    const std::int64_t pixels = graph.tensor(graph.ops[op].output).shape.pixels();
    if (pixels < kLargeMap || pixels % kernels::kGemmDepth != 0) break;
  }
  return static_cast<int>(op);
}

std::vector<int> Session::last_readers(bool gradients) const {
  const ir::Graph& graph = network_->graph();
  std::vector<int> last_reader(graph.tensors.size(), -1);
  const int past = static_cast<int>(graph.ops.size());
  const auto note = [&](ir::TensorId id, int reader) {
    int& last = last_reader[static_cast<std::size_t>(id)];
    last = std::max(last, reader);
  };
  for (int op = 0; op < past; ++op) {
    const ir::Op& node = graph.ops[static_cast<std::size_t>(op)];
    const bool kept = gradients && active_op_[static_cast<std::size_t>(op)];
    for (const ir::TensorId id : node.inputs) note(id, kept ? past : op);
    if (kept) note(node.output, past);
  }
  note(graph.features, past);
  // What a forward pass starts from is there for all samples, even where it is read one by one.
  for (const ir::TensorId id : network_->live_at(cut_)) note(id, past);
  return last_reader;
}

// One tensor alone is easily kept elsewhere, and read where samples are taken one by one.
ir::TensorId Session::find_borrowed() const {
  const ir::Graph& graph = network_->graph();
  const std::vector<ir::TensorId> start = network_->live_at(cut_);
  if (start.size() != 1 || start[0] == graph.features) return -1;
  for (auto op = static_cast<std::size_t>(split_); op < graph.ops.size(); ++op) {
    const auto& inputs = graph.ops[op].inputs;
    if (std::find(inputs.begin(), inputs.end(), start[0]) != inputs.end()) return -1;
  }
  return start[0];
}

// Gradients live from their last consumer's backward step to their producer's: first fit over
// reusable slots, in backward order. What only ops before the split read has a slot of one sample;
// what crosses the split is kept for the whole chunk until the last sample is done.
void Session::plan_gradient_slots() {
  const ir::Graph& graph = network_->graph();
  slot_of_tensor_.assign(graph.tensors.size(), -1);
  chunk_tensor_.assign(graph.tensors.size(), false);
  chunk_tensor_[static_cast<std::size_t>(graph.features)] = true;
  for (auto op = static_cast<std::size_t>(split_); op < graph.ops.size(); ++op) {
    chunk_tensor_[static_cast<std::size_t>(graph.ops[op].output)] = true;
    for (const ir::TensorId id : graph.ops[op].inputs) {
      chunk_tensor_[static_cast<std::size_t>(id)] = true;
    }
  }
  std::vector<int> free_slots[2];  // of one sample, of the chunk
  const auto acquire = [&](ir::TensorId id) {
    int& slot = slot_of_tensor_[static_cast<std::size_t>(id)];
    if (slot >= 0 || !active_tensor_[static_cast<std::size_t>(id)]) return;
    const bool chunk = chunk_tensor_[static_cast<std::size_t>(id)];
    std::vector<int>& available = free_slots[chunk ? 1 : 0];
    if (available.empty()) {
      available.push_back(static_cast<int>(slots_.size()));
      slots_.push_back({0, chunk});
    }
    slot = available.back();
    available.pop_back();
    std::size_t& size = slots_[static_cast<std::size_t>(slot)].size;
    size = std::max(size, network_->elements(id));
  };
  acquire(graph.features);
  for (std::size_t i = graph.ops.size(); i-- > 0;) {
    if (!active_op_[i]) continue;
    for (const ir::TensorId id : graph.ops[i].inputs) acquire(id);
    const auto output = static_cast<std::size_t>(graph.ops[i].output);
    const bool chunk = chunk_tensor_[output];
    if (chunk && static_cast<int>(i) < split_) continue;  // other samples are still to come
    free_slots[chunk ? 1 : 0].push_back(slot_of_tensor_[output]);
  }
}

int Session::feature_stride() const { return padded(head_.features); }
int Session::logit_stride() const { return padded(head_.classes); }

void Session::pack_head() {
  const auto features = static_cast<std::size_t>(head_.features);
  const auto stride = static_cast<std::size_t>(feature_stride());
  const auto classes = static_cast<std::size_t>(head_.classes);
  const std::size_t panel_count =
      (static_cast<std::size_t>(logit_stride()) + kernels::kPanel - 1) / kernels::kPanel;
  if (head_weights_.empty()) {
    head_weights_.assign(classes * stride, 0.0F);
    head_forward_.assign(panel_count * kernels::kPanel * features, 0.0F);
  }
  for (std::size_t c = 0; c < classes; ++c) {
    float* column = head_forward_.data() + c / kernels::kPanel * kernels::kPanel * features +
                    c % kernels::kPanel;
    for (std::size_t f = 0; f < features; ++f) {
      const float w = head_.weights[c * features + f];
      head_weights_[c * stride + f] = w;
      column[f * kernels::kPanel] = w;
    }
  }
}

const kernels::PackedWeights& Session::weights(std::size_t op) const {
  return trained_[op] != nullptr && trained_[op]->weights ? trained_[op]->packed
                                                          : network_->ops()[op].weights;
}

const kernels::Requantization& Session::requantization(std::size_t op) const {
  return trained_[op] != nullptr ? trained_[op]->requantization
                                 : network_->ops()[op].requantization;
}

std::vector<int> Session::lone_readers() const {
  const ir::Graph& graph = network_->graph();
  const auto past = static_cast<int>(graph.ops.size());
  const auto is_conv = [&](int op) {
    return std::holds_alternative<ir::Conv2D>(graph.ops[static_cast<std::size_t>(op)].params);
  };
  std::vector<int> lone(graph.tensors.size(), -1);
  std::vector<int> readers(graph.tensors.size(), 0);
  readers[static_cast<std::size_t>(graph.features)] = 1;  // the head
  for (int op = past - 1; op >= cut_; --op) {
    const ir::Op& node = graph.ops[static_cast<std::size_t>(op)];
    const auto output = static_cast<std::size_t>(node.output);
    if (!is_conv(op) || readers[output] != 1) lone[output] = -1;
    for (const ir::TensorId id : node.inputs) {
      const auto input = static_cast<std::size_t>(id);
      ++readers[input];
      lone[input] = is_conv(op) ? op : -1;
    }
  }
  for (const ir::TensorId id : network_->live_at(cut_)) lone[static_cast<std::size_t>(id)] = -1;
  return lone;
}

// ---- Session: forward ------------------------------------------------------------------------

// One op forward; an overload per row of the op table.
struct Session::ForwardStep {
  const Session& session;
  std::size_t op;
  Workspace& workspace;
  int first;  // sample
  int samples;
  bool masks;
  int passing;  // activations whose last reader is below this op are of one sample only
  const ir::Op& node = session.network_->graph().ops[op];
  const PreparedOp& prepared = session.network_->ops()[op];
  const std::int8_t* x = input(node.inputs[0]);
  std::int8_t* y = workspace.activation(node.output) + offset(node.output, place(node.output));
  std::uint8_t* mask = masks && session.active_op_[op]
                           ? workspace.mask(static_cast<int>(op)) + offset(node.output, first)
                           : nullptr;

  [[nodiscard]] std::size_t offset(ir::TensorId id, int sample) const {
    return session.network_->elements(id) * static_cast<std::size_t>(sample);
  }
  // Large maps that nothing reads later all take the first sample's place, which stays in the
  // cache.
  [[nodiscard]] int place(ir::TensorId id) const {
    return workspace.last_reader_[static_cast<std::size_t>(id)] < passing ? 0 : first;
  }
  [[nodiscard]] const std::int8_t* input(ir::TensorId id) const {
    return workspace.input(id, place(id));
  }

  // Whether a map is as the only convolution that reads it wants it.
  [[nodiscard]] bool lifted(ir::TensorId id) const {
    const int reader = workspace.lone_reader_[static_cast<std::size_t>(id)];
    if (reader < 0) return false;
    const auto position = static_cast<std::size_t>(reader);
    return kernels::reads_lifted(session.network_->ops()[position].geometry,
                                 session.weights(position));
  }

  void operator()(const ir::Conv2D&) const {
    const int zero = session.network_->graph().tensor(node.inputs[0]).quantization.zero_point;
    kernels::conv_forward(prepared.geometry, samples, x, zero, session.weights(op),
                          session.requantization(op), y, mask, workspace.scratch_,
                          {lifted(node.inputs[0]), lifted(node.output)});
  }
  void operator()(const ir::Add&) const {
    kernels::add_forward(prepared.elementwise, prepared.map, samples, x, input(node.inputs[1]), y,
                         mask);
  }
  void operator()(const ir::Rescale&) const {
    kernels::add_forward(prepared.elementwise, prepared.map, samples, x, nullptr, y, mask);
  }
  void operator()(const ir::Mul&) const {
    kernels::multiply_forward(prepared.elementwise, prepared.map, samples, x, input(node.inputs[1]),
                              y, mask);
  }
  void operator()(const ir::Concat&) const {
    std::int8_t* out = y;
    for (const ir::TensorId id : node.inputs) {
      const int channels = session.network_->graph().tensor(id).shape.channels;
      kernels::copy_channels(prepared.map.out.pixels() * samples, channels, input(id),
                             session.network_->stride(id), out, prepared.map.out_stride);
      out += channels;
    }
  }
  void operator()(const ir::Select& select) const {
    kernels::select_forward(select, prepared.map, samples, x, y);
  }
  void operator()(const ir::Lookup& table) const {
    kernels::lookup_forward(table, prepared.map, samples, x, y);
  }
  void operator()(const ir::AveragePool& pool) const {
    if (ir::requantizes_mean(session.network_->graph(), node)) {
      kernels::average_pool_requantized(pool, prepared.elementwise, prepared.map, samples, x, y,
                                        mask);
    } else {
      kernels::average_pool_forward(pool, prepared.map, samples, x, y);
    }
  }
  void operator()(const ir::MaxPool& pool) const {
    kernels::max_pool_forward(pool, prepared.map, samples, x, y);
  }
};

void Session::forward_ops(Workspace& workspace, int samples, int end, bool masks) const {
  const bool whole = end == static_cast<int>(network_->graph().ops.size());
  if (workspace.passes_ == Passes::kForward && (masks || !whole)) {
    throw std::logic_error("this workspace forgets what the pass has to leave");
  }
  const int split = std::min(split_, end);
  const auto run = [&](int begin, int stop, int first, int count) {
    for (int op = begin; op < stop; ++op) {
      const auto position = static_cast<std::size_t>(op);
      std::visit(ForwardStep{*this, position, workspace, first, count, masks, split},
                 network_->graph().ops[position].params);
    }
  };
  for (int sample = 0; sample < samples; ++sample) run(cut_, split, sample, 1);
  run(split, end, 0, samples);
}

void Session::forward(Workspace& workspace, int samples, bool masks) const {
  forward_ops(workspace, samples, static_cast<int>(network_->graph().ops.size()), masks);
  forward_head(workspace, samples);
}

void Session::forward_head(Workspace& workspace, int samples) const {
  const ir::Graph& graph = network_->graph();
  const ir::Tensor& features = graph.tensor(graph.features);
  const int stride = network_->stride(graph.features);
  const int channels = features.shape.channels;
  const std::int8_t* q = workspace.activation(graph.features);
  for (int s = 0; s < samples; ++s) {
    float* row = workspace.features_.data() + std::ptrdiff_t{s} * feature_stride();
    for (std::int64_t p = 0; p < features.shape.pixels(); ++p, q += stride) {
      for (int c = 0; c < channels; ++c) {
        row[p * channels + c] = static_cast<float>(q[c] - features.quantization.zero_point) *
                                features.quantization.scale;
      }
    }
  }
  kernels::GemmArgs gemm;
  gemm.m = samples;
  gemm.n = logit_stride();
  gemm.k = head_.features;
  gemm.a = workspace.features_.data();
  gemm.a_row = feature_stride();
  gemm.b = head_forward_.data();
  gemm.b_panel = std::ptrdiff_t{head_.features} * kernels::kPanel;
  gemm.c = workspace.logits_.data();
  gemm.c_row = logit_stride();
  kernels().gemm(gemm, false);
  for (int s = 0; s < samples; ++s) {
    float* row = workspace.logits_.data() + std::ptrdiff_t{s} * logit_stride();
    for (int c = 0; c < head_.classes; ++c) row[c] += head_.bias[static_cast<std::size_t>(c)];
  }
}

Score Session::score(const Workspace& workspace, std::span<const int> labels) const {
  Score total;
  for (std::size_t s = 0; s < labels.size(); ++s) {
    const float* row = workspace.logits_.data() + s * static_cast<std::size_t>(logit_stride());
    const float* best = std::max_element(row, row + head_.classes);
    double sum = 0;
    for (int c = 0; c < head_.classes; ++c) {
      sum += std::exp(static_cast<double>(row[c]) - static_cast<double>(*best));
    }
    total.loss += std::log(sum) + static_cast<double>(*best) - static_cast<double>(row[labels[s]]);
    if (best - row == labels[s]) ++total.correct;
  }
  return total;
}

// ---- Session: backward -----------------------------------------------------------------------

// One op's gradient; an overload per row of the op table.
struct Session::BackwardStep {
  const Session& session;
  std::size_t op;
  Workspace& workspace;
  int first;  // sample
  int samples;
  Gradients& gradients;
  BackwardObserver* observer;
  const ir::Graph& graph = session.network_->graph();
  const ir::Op& node = graph.ops[op];
  const PreparedOp& prepared = session.network_->ops()[op];
  ir::TensorId x = node.inputs[0];
  float* dy = workspace.gradient(node.output, first);
  const std::uint8_t* mask = workspace.mask(static_cast<int>(op)) + offset(node.output);

  [[nodiscard]] std::size_t offset(ir::TensorId id) const {
    return session.network_->elements(id) * static_cast<std::size_t>(first);
  }
  [[nodiscard]] const std::int8_t* activation(ir::TensorId id) const {
    return workspace.input(id, first);
  }
  [[nodiscard]] float* gradient(ir::TensorId id) const { return workspace.gradient(id, first); }
  [[nodiscard]] bool wanted(ir::TensorId id) const {
    return session.active_tensor_[static_cast<std::size_t>(id)];
  }
  // An input whose gradient the head or a later consumer has already written is added to.
  [[nodiscard]] bool accumulate(ir::TensorId id) const {
    if (id == graph.features) return true;
    for (std::size_t later = op + 1; later < graph.ops.size(); ++later) {
      const auto& inputs = graph.ops[later].inputs;
      if (session.active_op_[later] &&
          std::find(inputs.begin(), inputs.end(), id) != inputs.end()) {
        return true;
      }
    }
    return false;
  }

  void operator()(const ir::Conv2D&) const {
    const Trained* trained = session.trained_[op].get();
    Gradients::Conv& sums = gradients.convs[op];
    kernels().mask_scale(dy, mask, prepared.requantization.factor.data(),
                         static_cast<int>(prepared.geometry.out.pixels()) * samples,
                         prepared.geometry.out_stride,
                         trained != nullptr && trained->bias ? sums.bias.data() : nullptr);
    if (observer != nullptr) observer->after(static_cast<int>(op), first, samples, dy);
    if (trained != nullptr && trained->weights) {
      kernels::conv_backward_weights(prepared.geometry, trained->layout, samples, activation(x),
                                     graph.tensor(x).quantization.zero_point, dy,
                                     sums.weights.data(), workspace.scratch_);
    }
    if (wanted(x)) {
      kernels::conv_backward_input(prepared.geometry, samples, dy, session.weights(op), gradient(x),
                                   accumulate(x), workspace.scratch_);
    }
  }
  void rescaling() const {
    const float factors[] = {prepared.elementwise.factor_a, prepared.elementwise.factor_b};
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::TensorId id = node.inputs[i];
      if (!wanted(id)) continue;
      kernels::add_backward(factors[i], prepared.map, session.network_->stride(id), samples, dy,
                            mask, gradient(id), accumulate_operand(i));
    }
  }
  void operator()(const ir::Add&) const { rescaling(); }
  void operator()(const ir::Rescale&) const { rescaling(); }
  // Whether input i is added to: a later consumer has written its gradient, or an earlier operand
  // of this op, which is the same tensor.
  [[nodiscard]] bool accumulate_operand(std::size_t i) const {
    const auto end = node.inputs.begin() + static_cast<std::ptrdiff_t>(i);
    return accumulate(node.inputs[i]) || std::find(node.inputs.begin(), end, node.inputs[i]) != end;
  }
  void operator()(const ir::Mul&) const {
    const ir::TensorId second = node.inputs[1];
    if (wanted(x)) {
      kernels::multiply_backward(prepared.elementwise, prepared.map, samples, activation(second),
                                 dy, mask, gradient(x), accumulate_operand(0));
    }
    if (wanted(second)) {
      kernels::multiply_backward_second(prepared.elementwise, prepared.map, samples, activation(x),
                                        dy, mask, gradient(second), accumulate_operand(1));
    }
  }
  void operator()(const ir::Concat&) const {
    const float* from = dy;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::TensorId id = node.inputs[i];
      const int channels = graph.tensor(id).shape.channels;
      if (wanted(id)) {
        kernels::copy_channel_gradients(prepared.map.out.pixels() * samples, channels, from,
                                        prepared.map.out_stride, gradient(id),
                                        session.network_->stride(id), accumulate_operand(i));
      }
      from += channels;
    }
  }
  void operator()(const ir::Select& select) const {
    if (!wanted(x)) return;
    kernels::select_backward(select, prepared.map, samples, dy, gradient(x), accumulate(x));
  }
  void operator()(const ir::Lookup& table) const {
    if (!wanted(x)) return;
    kernels::lookup_backward(table, prepared.map, samples, activation(x), dy, gradient(x),
                             accumulate(x));
  }
  void operator()(const ir::AveragePool& pool) const {
    if (!wanted(x)) return;
    if (ir::requantizes_mean(graph, node)) {
      kernels::add_backward(prepared.elementwise.factor_a, prepared.map, prepared.map.out_stride,
                            samples, dy, mask, dy, false);
    }
    kernels::average_pool_backward(pool, prepared.map, samples, dy, gradient(x), accumulate(x));
  }
  void operator()(const ir::MaxPool& pool) const {
    if (!wanted(x)) return;
    kernels::max_pool_backward(pool, prepared.map, samples, activation(x), dy, gradient(x),
                               accumulate(x));
  }
};

void Session::backward(Workspace& workspace, std::span<const int> labels, int batch,
                       Gradients& gradients, BackwardObserver* observer) const {
  const ir::Graph& graph = network_->graph();
  const auto samples = static_cast<int>(labels.size());
  const Score chunk = score(workspace, labels);
  gradients.loss += chunk.loss;
  gradients.correct += chunk.correct;

  // Logits become dL/dlogits in place.
  for (int s = 0; s < samples; ++s) {
    float* row = workspace.logits_.data() + std::ptrdiff_t{s} * logit_stride();
    const double top = static_cast<double>(*std::max_element(row, row + head_.classes));
    double sum = 0;
    for (int c = 0; c < head_.classes; ++c) sum += std::exp(static_cast<double>(row[c]) - top);
    for (int c = 0; c < head_.classes; ++c) {
      const double p = std::exp(static_cast<double>(row[c]) - top) / sum;
      const double target = c == labels[static_cast<std::size_t>(s)] ? 1.0 : 0.0;
      row[c] = static_cast<float>((p - target) / batch);
      gradients.head_bias[static_cast<std::size_t>(c)] += row[c];
    }
  }
  kernels::GemmArgs weight;
  weight.m = head_.classes;
  weight.n = feature_stride();
  weight.k = samples;
  weight.a = workspace.logits_.data();
  weight.a_row = 1;
  weight.a_column = logit_stride();
  weight.b = workspace.features_.data();
  weight.b_row = feature_stride();
  weight.c = gradients.head_weights.data();
  weight.c_row = feature_stride();
  kernels().gemm(weight, true);

  if (head_alone_ || !active_tensor_[static_cast<std::size_t>(graph.features)]) return;
  kernels::GemmArgs input;
  input.m = samples;
  input.n = feature_stride();
  input.k = head_.classes;
  input.a = workspace.logits_.data();
  input.a_row = logit_stride();
  input.b = head_weights_.data();
  input.b_row = feature_stride();
  input.c = workspace.feature_gradient_.data();
  input.c_row = feature_stride();
  kernels().gemm(input, false);
  const ir::Tensor& features = graph.tensor(graph.features);
  const int stride = network_->stride(graph.features);
  float* dq = workspace.gradient(graph.features, 0);
  for (int s = 0; s < samples; ++s) {
    const float* row = workspace.feature_gradient_.data() + std::ptrdiff_t{s} * feature_stride();
    for (std::int64_t p = 0; p < features.shape.pixels(); ++p, dq += stride) {
      for (int c = 0; c < stride; ++c) {
        dq[c] = c < features.shape.channels
                    ? row[p * features.shape.channels + c] * features.quantization.scale
                    : 0.0F;
      }
    }
  }
  const auto run = [&](int begin, int stop, int first, int count) {
    for (int op = stop; op-- > begin;) {
      const auto position = static_cast<std::size_t>(op);
      if (!active_op_[position]) continue;
      std::visit(BackwardStep{*this, position, workspace, first, count, gradients, observer},
                 graph.ops[position].params);
    }
  };
  run(split_, static_cast<int>(graph.ops.size()), 0, samples);
  for (int sample = 0; sample < samples; ++sample) run(cut_, split_, sample, 1);
}

// ---- Session: gradients and update -----------------------------------------------------------

Gradients Session::make_gradients() const {
  Gradients gradients;
  gradients.convs.resize(trained_.size());
  for (std::size_t op = 0; op < trained_.size(); ++op) {
    if (trained_[op] == nullptr) continue;
    gradients.convs[op].weights.assign(trained_[op]->layout.size(), 0.0F);
    gradients.convs[op].bias.assign(trained_[op]->requantization.bias.size(), 0.0F);
  }
  gradients.head_weights.assign(head_weights_.size(), 0.0F);
  gradients.head_bias.assign(static_cast<std::size_t>(logit_stride()), 0.0F);
  return gradients;
}

void Session::clear(Gradients& gradients) {
  for (Gradients::Conv& conv : gradients.convs) {
    std::fill(conv.weights.begin(), conv.weights.end(), 0.0F);
    std::fill(conv.bias.begin(), conv.bias.end(), 0.0F);
  }
  std::fill(gradients.head_weights.begin(), gradients.head_weights.end(), 0.0F);
  std::fill(gradients.head_bias.begin(), gradients.head_bias.end(), 0.0F);
  gradients.loss = 0;
  gradients.correct = 0;
}

void Session::add(Gradients& total, const Gradients& part) {
  const auto sum = [](kernels::AlignedVector<float>& a, const kernels::AlignedVector<float>& b) {
    const auto size = static_cast<Eigen::Index>(a.size());
    Eigen::Map<Eigen::ArrayXf>(a.data(), size) += Eigen::Map<const Eigen::ArrayXf>(b.data(), size);
  };
  for (std::size_t op = 0; op < total.convs.size(); ++op) {
    sum(total.convs[op].weights, part.convs[op].weights);
    sum(total.convs[op].bias, part.convs[op].bias);
  }
  sum(total.head_weights, part.head_weights);
  sum(total.head_bias, part.head_bias);
  total.loss += part.loss;
  total.correct += part.correct;
}

void Session::begin_turn(std::int64_t turn) {
  for (std::size_t op = 0; op < trained_.size(); ++op) {
    Trained* trained = trained_[op].get();
    if (trained == nullptr || trained->sets.size() < 2) continue;
    const auto& conv = std::get<ir::Conv2D>(network_->graph().ops[op].params);
    for (std::size_t i = 0; i < trained->master_weights.size(); ++i) {
      trained->master_weights[i] = stored_weight(trained->master_weights[i], conv.weights[i]);
    }
    const auto set = static_cast<std::size_t>(turn) % trained->sets.size();
    trained->layout =
        kernels::WeightGradientLayout(network_->ops()[op].geometry, trained->sets[set]);
    refresh(op);
  }
}

bool Session::update(const Gradients& gradients, float learning_rate, bool qas, int clip) {
  bool finite = true;
  const auto within = [&](float value, float limit) {
    finite = finite && std::abs(value) <= limit;  // false for NaN as well
  };
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kAny = std::numeric_limits<float>::infinity();
  const float weight_clip = clip > 0 ? static_cast<float>(clip) : kAny;
  const float bias_clip = clip > 0 ? static_cast<float>(kBiasClip * clip) : kAny;
  for (std::size_t op = 0; op < trained_.size(); ++op) {
    Trained* trained = trained_[op].get();
    if (trained == nullptr || head_alone_) continue;
    const ir::Op& node = network_->graph().ops[op];
    const auto& conv = std::get<ir::Conv2D>(node.params);
    const float input_scale = network_->graph().tensor(node.inputs[0]).quantization.scale;
    const Gradients::Conv& sums = gradients.convs[op];
    if (trained->weights) {
      for (const auto& entry : trained->layout.entries()) {
        const float g = sums.weights[entry.gradient];
        const float step = qas ? quantization_aware(g, conv.weight_scales[entry.out_channel]) : g;
        float& w = trained->master_weights[entry.weight];
        w -= std::clamp(learning_rate * step, -weight_clip, weight_clip);
        within(w, kDivergedWeight);
      }
    }
    if (trained->bias) {
      for (std::size_t c = 0; c < trained->master_bias.size(); ++c) {
        const float g = sums.bias[c];
        const float step = qas ? quantization_aware(g, input_scale * conv.weight_scales[c]) : g;
        trained->master_bias[c] -= std::clamp(learning_rate * step, -bias_clip, bias_clip);
        within(trained->master_bias[c], kLargest);
      }
    }
    if (!finite) return false;
    refresh(op);
  }
  const auto stride = static_cast<std::size_t>(feature_stride());
  const auto features = static_cast<std::size_t>(head_.features);
  for (std::size_t c = 0; c < head_.bias.size(); ++c) {
    for (std::size_t f = 0; f < features; ++f) {
      head_.weights[c * features + f] -= learning_rate * gradients.head_weights[c * stride + f];
      within(head_.weights[c * features + f], kLargest);
    }
    head_.bias[c] -= learning_rate * gradients.head_bias[c];
    within(head_.bias[c], kLargest);
  }
  pack_head();
  return finite;
}

void Session::refresh(std::size_t op) {
  Trained& trained = *trained_[op];
  if (trained.weights) {
    trained.rounded_weights.resize(trained.master_weights.size());
    std::transform(trained.master_weights.begin(), trained.master_weights.end(),
                   trained.rounded_weights.begin(), round_half_even);
    trained.packed.pack(network_->ops()[op].geometry, trained.rounded_weights, true);
  }
  for (std::size_t c = 0; c < trained.master_bias.size(); ++c) {
    trained.requantization.bias[c] = round_to_int32(trained.master_bias[c]);
  }
}

ir::Graph Session::tuned_graph(std::int64_t* saturated) const {
  ir::Graph graph = network_->graph();
  std::int64_t outside = 0;
  for (std::size_t op = 0; op < trained_.size(); ++op) {
    const Trained* trained = trained_[op].get();
    if (trained == nullptr) continue;
    auto& conv = std::get<ir::Conv2D>(graph.ops[op].params);
    for (std::size_t i = 0; i < trained->master_weights.size(); ++i) {
      const float stored = stored_weight(trained->master_weights[i], conv.weights[i]);
      if (stored != round_half_even(trained->master_weights[i])) ++outside;
      conv.weights[i] = static_cast<std::int8_t>(stored);
    }
    for (std::size_t i = 0; i < trained->master_bias.size(); ++i) {
      conv.bias[i] = round_to_int32(trained->master_bias[i]);
    }
  }
  graph.head = head_;
  if (saturated != nullptr) *saturated = outside;
  return graph;
}

std::vector<float> Session::dense_weight_gradient(const Gradients& gradients, int op) const {
  const auto position = static_cast<std::size_t>(op);
  std::vector<float> dense(
      std::get<ir::Conv2D>(network_->graph().ops[position].params).weights.size(), 0.0F);
  if (trained_[position] == nullptr) return dense;
  for (const auto& entry : trained_[position]->layout.entries()) {
    dense[entry.weight] = gradients.convs[position].weights[entry.gradient];
  }
  return dense;
}

}  // namespace espalier::train
