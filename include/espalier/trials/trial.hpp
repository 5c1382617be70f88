// One training of one update plan: a pure function of model, data, recipe, numerics, plan and seed.
// The same inputs give the same bytes, whatever the number of threads or the memory for prefixes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "espalier/compiler/training_graph.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/engine/device_trainer.hpp"
#include "espalier/engine/gradient_use.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::trials {

enum class Numerics {
  kSimulation,  ///< fp32 master weights, as the published simulation
  kDevice,      ///< what the emitted C does, to the bit, with gradients in float
  kInteger,     ///< likewise, with integer gradients
};

/// True for what the emitted C does.
inline bool on_device(Numerics numerics) { return numerics != Numerics::kSimulation; }

/// The classifier that training starts from.
enum class HeadStart {
  kFresh,  ///< drawn by the recipe's seed
  kKeep,   ///< the model's own, which must have as many classes as the data
};

/// What one training is, but for the model and the data.
struct Trial {
  plan::UpdatePlan plan;
  train::Recipe recipe;  ///< on the device: its batch is the samples of one update; QAS always
  Numerics numerics = Numerics::kSimulation;
  bool stochastic = true;  ///< device numerics: rounding of steps; otherwise to nearest
  int gradient_bits = 8;   ///< integer numerics: 8 or 16
  engine::Stream stream;   ///< on the device
  HeadStart head = HeadStart::kFresh;
  bool test_every_epoch = false;  ///< also evaluate after each epoch
};

/// Of a program in these numerics.
compiler::Element gradient_element(Numerics numerics, int bits);
/// By numerics_name().
std::optional<Numerics> numerics_named(std::string_view name);
std::string_view numerics_name(Numerics numerics);  ///< "simulation", "device", "integer"
std::string_view head_name(HeadStart head);         ///< "fresh", "keep"
std::string_view rounding_name(bool stochastic);    ///< "stochastic", "nearest"

/// Everything that decides what a trial reaches, as one object: digest of the model, identities of
/// the samples with their preprocessing, recipe, numerics, trained channels, start of the head.
Json inputs_json(const ir::Graph& graph, const Trial& trial, const data::Samples& training,
                 const data::Samples& test);

/// kUsage when training on so many samples ends without an update of what is to be trained: a batch
/// of a simulation that is not full makes one, but on the device the sum over it has to be full.
Status check_updates(const Trial& trial, std::int64_t samples);

/// A trial made ready: checked against the model, its program compiled, its parameters at their
/// start. Trains once.
class Training {
 public:
  /// `network` must outlive it; its head is not used but for HeadStart::kKeep. Errors: kUsage for a
  /// recipe or a start of the head that cannot be, and what compiling the plan reports.
  static Result<Training> make(const train::Network& network, const Trial& trial, int classes);
  ~Training();
  Training(Training&&) noexcept;
  Training& operator=(Training&&) noexcept;

  /// The latest cut that stores of its samples may have.
  [[nodiscard]] int cut() const;

  /// Trains and evaluates, from stores at any cut up to cut(). kInterrupted when the user asks to
  /// stop.
  Result<train::TrainResult> run(const train::SampleStore& training, const train::SampleStore& test,
                                 const train::TrainOptions& options);

  /// After run(): the graph with the parameters as they are. `saturated`, when given, receives the
  /// number of weights that had left -127..127.
  [[nodiscard]] ir::Graph tuned_graph(std::int64_t* saturated = nullptr) const;
  /// After run(), simulation: bytes of one thread's buffers.
  [[nodiscard]] std::optional<Bytes> workspace() const;
  /// After run(), integer numerics: how the gradients of the convolutions filled their range.
  [[nodiscard]] std::vector<engine::GradientUse> gradient_use() const;
  /// Device numerics: SRAM of the compiled program.
  [[nodiscard]] std::optional<Bytes> sram() const;
  /// With a replay memory: what it has room for.
  [[nodiscard]] std::optional<codegen::ReplayLayout> replay_layout() const;

 private:
  struct Device;
  Training(const train::Network& network, const Trial& trial);

  const train::Network* network_;
  Trial trial_;
  ir::Head head_;
  int cut_ = 0;
  std::unique_ptr<train::Session> session_;
  std::unique_ptr<Device> device_;
};

}  // namespace espalier::trials
