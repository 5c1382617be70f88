// One model in training: the parameters a plan lets move, and the forward and backward pass over
// chunks of samples. The arithmetic is that of the simulation (docs/architecture.md, "Numerics in
// one page"): fp32 master parameters, rounded half to even where the forward pass uses them, never
// clamped to int8.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"

namespace espalier::train {

/// Samples that run through the kernels together. Fixed, because partial gradients are summed chunk
/// by chunk: results must not depend on the number of threads.
inline constexpr int kChunk = 8;

/// A master weight beyond this magnitude means divergence: 128 times the int8 range. Products of
/// larger ones could leave the 32 bits of an accumulator.
inline constexpr float kDivergedWeight = 16384.0F;

/// Whether a float holds 1 / scale^2, which quantisation-aware scaling multiplies gradients by.
/// Parameters of a scale without step nothing, as on the device.
bool has_inverse_square(float scale);

/// A fresh head: weights and bias uniform in +-1/sqrt(features), as PyTorch initialises a Linear.
ir::Head fresh_head(int features, int classes, std::uint64_t seed);

/// Sums of gradients over samples, in the layouts of the kernels.
struct Gradients {
  struct Conv {
    kernels::AlignedVector<float> weights;  ///< WeightGradientLayout
    kernels::AlignedVector<float> bias;     ///< [out_stride]
  };
  std::vector<Conv> convs;                     ///< by op position
  kernels::AlignedVector<float> head_weights;  ///< [classes][padded features]
  kernels::AlignedVector<float> head_bias;     ///< [padded classes]
  double loss = 0;                             ///< sum over samples
  std::int64_t correct = 0;                    ///< samples whose largest logit is the label's
};

/// Result of a forward pass over labelled samples.
struct Score {
  double loss = 0;  ///< sum of cross entropies
  std::int64_t correct = 0;
};

class Session;

/// What a workspace is for.
enum class Passes { kForward, kForwardAndBackward };

/// The buffers of one thread: activations, masks and gradients of one chunk. For forward passes
/// alone tensors share memory that stays in the cache, and only Session::forward() without masks
/// may use it.
class Workspace {
 public:
  explicit Workspace(const Session& session, Passes passes = Passes::kForwardAndBackward);

  /// Activations of a tensor for the whole chunk, samples one after the other. Of a tensor that
  /// only the large maps' part of a forward pass reads, the first sample's place holds the last
  /// sample.
  std::int8_t* activation(ir::TensorId tensor) {
    return activations_[static_cast<std::size_t>(tensor)];
  }
  /// Sample `first` of a tensor and what follows it, as a pass reads them.
  const std::int8_t* input(ir::TensorId tensor, int first) const {
    if (tensor == borrowed_ && !places_.empty()) return places_[static_cast<std::size_t>(first)];
    const auto id = static_cast<std::size_t>(tensor);
    return activations_[id] + sample_size_[id] * first;
  }
  /// The tensor whose samples may stay where they are, or -1: only the part of a pass that goes
  /// sample by sample reads it.
  [[nodiscard]] ir::TensorId borrowed() const { return borrowed_; }
  /// Where they are; without any, in activation(). They have to stay there for a whole step.
  void borrow(std::span<const std::int8_t* const> places) {
    places_.assign(places.begin(), places.end());
  }
  /// Masks of an op's outputs; empty for ops that no gradient passes.
  std::uint8_t* mask(int op) { return masks_[static_cast<std::size_t>(op)].data(); }
  /// dL/dy of a tensor from sample `first` on: valid from the backward step of its last consumer to
  /// that of its producer, which turns it into dL/dy * mask * factor in place.
  float* gradient(ir::TensorId tensor, int first);
  [[nodiscard]] std::size_t bytes() const;

 private:
  friend class Session;
  void share(const Session& session);
  void keep(const Network& network, ir::TensorId id);

  Passes passes_;
  std::vector<int> last_reader_;             // see Session
  std::vector<int> lone_reader_;             // likewise; all -1 unless for forward passes alone
  std::vector<std::int8_t*> activations_;    // by tensor, in buffers_; null below the cut
  std::vector<std::ptrdiff_t> sample_size_;  // by tensor
  std::vector<kernels::AlignedVector<std::int8_t>> buffers_;
  std::vector<kernels::AlignedVector<std::uint8_t>> masks_;
  std::vector<kernels::AlignedVector<float>> gradient_slots_;
  std::vector<int> slot_of_tensor_;
  std::vector<std::size_t> gradient_step_;  // by tensor: elements between two samples, or 0
  ir::TensorId borrowed_ = -1;
  std::vector<const std::int8_t*> places_;
  kernels::AlignedVector<float> features_;
  kernels::AlignedVector<float> logits_;
  kernels::AlignedVector<float> feature_gradient_;
  kernels::ConvScratch scratch_;
};

/// Called after the backward step of each convolution with dL/dy * mask * factor of the chunk's
/// samples [first, first + samples).
class BackwardObserver {
 public:
  virtual ~BackwardObserver() = default;
  virtual void after(int op, int first, int samples, const float* gradient) = 0;
};

class Session {
 public:
  /// Trains what `plan` says, on top of `network`, starting from `head`. The plan must be valid for
  /// the network's graph. `cut` is the op that forward passes start from, at most the first trained
  /// one; -1 picks that one.
  Session(const Network& network, const plan::UpdatePlan& plan, ir::Head head, int cut = -1);

  [[nodiscard]] const Network& network() const { return *network_; }
  [[nodiscard]] int cut() const { return cut_; }
  [[nodiscard]] const ir::Head& head() const { return head_; }
  /// Extent of one sample's row of features and of logits, padding included.
  [[nodiscard]] int feature_stride() const;
  [[nodiscard]] int logit_stride() const;

  /// Runs ops [cut, end) for `samples` <= kChunk samples whose live tensors at the cut are already
  /// in the workspace. With `masks`, also fills what backward() needs.
  void forward_ops(Workspace& workspace, int samples, int end, bool masks) const;
  /// Features and logits from the body's output in the workspace.
  void forward_head(Workspace& workspace, int samples) const;
  /// forward_ops() to the end of the body, then forward_head().
  void forward(Workspace& workspace, int samples, bool masks) const;
  /// Loss and hits of the last forward().
  Score score(const Workspace& workspace, std::span<const int> labels) const;
  /// Logits of the last forward(), rows of logit_stride().
  [[nodiscard]] const float* logits(const Workspace& workspace) const {
    return workspace.logits_.data();
  }
  /// Adds the gradient of sum(loss) / `batch` of the last forward(), and its score, to `gradients`.
  void backward(Workspace& workspace, std::span<const int> labels, int batch, Gradients& gradients,
                BackwardObserver* observer = nullptr) const;

  /// Begins a turn, counted from 0: of convs whose channels take turns, weights become those of the
  /// forward pass, which is how they are kept, and the turn's channels train from here on.
  /// Gradients made before keep their size.
  void begin_turn(std::int64_t turn);

  /// Whether from here on backward() makes gradients of the head alone and update() steps it alone.
  void train_head_alone(bool alone) { head_alone_ = alone; }

  [[nodiscard]] Gradients make_gradients() const;
  static void clear(Gradients& gradients);
  /// total += part.
  static void add(Gradients& total, const Gradients& part);

  /// One step of SGD: parameter -= learning_rate * gradient, with the gradients of weights divided
  /// by s_w^2 and of biases by (s_x * s_w)^2 when `qas`, and with a `clip` above 0 no weight
  /// changed by more than that and no bias by more than kBiasClip times that. The head is not
  /// scaled, nor clipped. False when a parameter left the representable range: training has
  /// diverged.
  [[nodiscard]] bool update(const Gradients& gradients, float learning_rate, bool qas,
                            int clip = 0);

  /// The graph with the trained parameters rounded and saturated to int8 and int32, and the trained
  /// head. `saturated`, when given, receives the number of weights that had left -127..127.
  [[nodiscard]] ir::Graph tuned_graph(std::int64_t* saturated = nullptr) const;

  /// Trained gradient of a conv's weights, OHWI with zeros for frozen channels (tests, reports).
  [[nodiscard]] std::vector<float> dense_weight_gradient(const Gradients& gradients, int op) const;

 private:
  friend class Workspace;

  // What may move in one convolution, with its packed form.
  struct Trained {
    bool bias = false;
    bool weights = false;
    std::vector<std::vector<int>> sets;  // of channels, by turn
    kernels::WeightGradientLayout layout;
    std::vector<float> master_weights;   // OHWI
    std::vector<float> rounded_weights;  // those, as the forward pass uses them
    std::vector<float> master_bias;
    kernels::PackedWeights packed;
    kernels::Requantization requantization;
  };

  [[nodiscard]] const kernels::PackedWeights& weights(std::size_t op) const;
  [[nodiscard]] const kernels::Requantization& requantization(std::size_t op) const;
  struct ForwardStep;
  struct BackwardStep;

  // Sizes of a slot of gradients, in floats: of one sample, and whether it holds the whole chunk.
  struct GradientSlot {
    std::size_t size = 0;
    bool chunk = false;
  };

  [[nodiscard]] int find_split() const;
  [[nodiscard]] ir::TensorId find_borrowed() const;
  // By tensor: the op that reads it last, or past all ops for the head and, where they are wanted,
  // for gradients; -1 where nothing does.
  [[nodiscard]] std::vector<int> last_readers(bool gradients) const;
  // By tensor that a convolution of a pass writes: the convolution that alone reads it, or -1.
  [[nodiscard]] std::vector<int> lone_readers() const;
  void plan_gradient_slots();
  void pack_head();
  void refresh(std::size_t op);

  const Network* network_;
  ir::Head head_;
  bool head_alone_ = false;
  int cut_ = 0;
  std::vector<std::unique_ptr<Trained>> trained_;  // by op, null when frozen
  std::vector<bool> active_op_;                    // the gradient passes this op
  std::vector<bool> active_tensor_;                // the gradient reaches this tensor
  std::vector<int> slot_of_tensor_;                // -1 without gradient
  std::vector<GradientSlot> slots_;
  std::vector<bool> chunk_tensor_;  // its gradient is kept for the whole chunk
  int split_ = 0;  // ops [cut_, split_) run sample by sample, the others chunk by chunk
  ir::TensorId borrowed_ = -1;                  // see Workspace
  kernels::AlignedVector<float> head_weights_;  // [classes][padded features]
  kernels::AlignedVector<float> head_forward_;  // panels of [features][classes]
};

}  // namespace espalier::train
