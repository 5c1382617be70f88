#include "espalier/trials/trial.hpp"

#include <fmt/format.h>

#include <utility>

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/engine/device_trainer.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/train/session.hpp"

namespace espalier::trials {

// A program refers to its graph, an engine to its program.
struct Training::Device {
  ir::Graph graph;
  std::optional<compiler::Program> program;
  std::optional<engine::Engine> engine;
  std::optional<engine::GradientWatch> watch;
};

std::string_view numerics_name(Numerics numerics) {
  switch (numerics) {
    case Numerics::kSimulation:
      return "simulation";
    case Numerics::kDevice:
      return "device";
    case Numerics::kInteger:
      return "integer";
  }
  return "";
}
std::optional<Numerics> numerics_named(std::string_view name) {
  for (const Numerics numerics : {Numerics::kSimulation, Numerics::kDevice, Numerics::kInteger}) {
    if (numerics_name(numerics) == name) return numerics;
  }
  return std::nullopt;
}
compiler::Element gradient_element(Numerics numerics, int bits) {
  if (numerics != Numerics::kInteger) return compiler::Element::kFloat32;
  return bits == 16 ? compiler::Element::kInt16 : compiler::Element::kInt8;
}
std::string_view head_name(HeadStart head) { return head == HeadStart::kKeep ? "keep" : "fresh"; }
std::string_view rounding_name(bool stochastic) { return stochastic ? "stochastic" : "nearest"; }

namespace {

// Whether a plan trains parameters whose gradients quantisation-aware scaling has no factor for.
bool trains_unscaled(const ir::Graph& graph, const plan::UpdatePlan& plan) {
  const std::vector<int> convs = ir::conv_ops(graph);
  for (auto index = static_cast<std::size_t>(plan::first_trained_conv(plan, graph));
       index < convs.size(); ++index) {
    const ir::Op& op = graph.ops[static_cast<std::size_t>(convs[index])];
    const float input = graph.tensor(op.inputs[0]).quantization.scale;
    const bool weights = plan::trained_channels(plan, static_cast<int>(index)).has_value();
    for (const float scale : std::get<ir::Conv2D>(op.params).weight_scales) {
      if (!train::has_inverse_square(input * scale)) return true;
      if (weights && !train::has_inverse_square(scale)) return true;
    }
  }
  return false;
}

// Trials whose results a version computed otherwise. In the simulation: where gradients cannot be
// scaled. On the device: where updates do not end with an epoch, two epochs of the head or more;
// and turns, where an update takes more than an epoch.
bool is_revised(const ir::Graph& graph, const Trial& trial, std::int64_t samples) {
  const train::Recipe& recipe = trial.recipe;
  if (!on_device(trial.numerics)) return recipe.qas && trains_unscaled(graph, trial.plan);
  return (recipe.head_epochs > 1 && samples % recipe.batch != 0) ||
         (plan::rotates(trial.plan) && recipe.batch > samples);
}

}  // namespace

Json inputs_json(const ir::Graph& graph, const Trial& trial, const data::Samples& training,
                 const data::Samples& test) {
  Json weights = Json::array();
  for (const plan::WeightUpdate& update : trial.plan.weights) {
    // The ratio says how the channels were chosen, and changes nothing that they do not.
    weights.push_back({{"conv", update.conv}, {"channels", update.channels}});
    if (!update.next_channels.empty()) weights.back()["next_channels"] = update.next_channels;
  }
  Json inputs{{"model", graph.sha256},
              {"data", {{"train", training.identity_json()}, {"test", test.identity_json()}}},
              {"recipe", train::to_json(trial.recipe)},
              {"numerics", numerics_name(trial.numerics)},
              {"head", head_name(trial.head)},
              {"plan", {{"bias_depth", trial.plan.bias_depth}, {"weights", std::move(weights)}}}};
  if (on_device(trial.numerics)) inputs["rounding"] = rounding_name(trial.stochastic);
  if (trial.numerics == Numerics::kInteger) inputs["gradient_bits"] = trial.gradient_bits;
  if (trial.stream.classes_in_turn > 0) inputs["classes_in_turn"] = trial.stream.classes_in_turn;
  if (trial.stream.replay_bytes > 0) {
    inputs["replay"] = {{"bytes", trial.stream.replay_bytes}, {"steps", trial.stream.replays}};
  }
  if (trial.test_every_epoch) inputs["test_every_epoch"] = true;
  if (is_revised(graph, trial, training.size())) inputs["revision"] = 2;
  return inputs;
}

Status check_updates(const Trial& trial, std::int64_t samples) {
  if (!on_device(trial.numerics)) return Ok{};
  const train::Recipe& recipe = trial.recipe;
  const std::int64_t steps = samples * recipe.epochs * trial.stream.steps_of_sample();
  const int of_head = trial.plan.bias_depth > 0 ? recipe.head_epochs : 0;
  if (steps / recipe.batch * recipe.batch > samples * of_head) return Ok{};
  return Error{
      ErrorKind::kUsage,
      fmt::format("{} samples in {} epochs{} make no update of {}; give fewer to an update",
                  samples, recipe.epochs - of_head, of_head > 0 ? " behind those of the head" : "",
                  recipe.batch)};
}

Training::Training(const train::Network& network, const Trial& trial)
    : network_(&network), trial_(trial), cut_(plan::training_cut(trial.plan, network.graph())) {}
Training::~Training() = default;
Training::Training(Training&&) noexcept = default;
Training& Training::operator=(Training&&) noexcept = default;

Result<Training> Training::make(const train::Network& network, const Trial& trial, int classes) {
  ESPALIER_CHECK_OK(train::check(trial.recipe));
  const ir::Graph& graph = network.graph();
  Training training(network, trial);
  if (trial.head == HeadStart::kKeep) {
    if (graph.head.classes != classes) {
      return Error{ErrorKind::kUsage,
                   fmt::format("--head keep: the model has {} classes, the data {}; use --head "
                               "fresh",
                               graph.head.classes, classes)};
    }
    training.head_ = graph.head;
  } else {
    training.head_ = train::fresh_head(graph.head.features, classes, trial.recipe.seed);
  }
  if (trial.numerics == Numerics::kSimulation) return training;
  ESPALIER_CHECK_OK(train::check_on_device(trial.recipe));
  training.device_ = std::make_unique<Device>();
  Device& device = *training.device_;
  device.graph = graph;
  device.graph.head = training.head_;
  compiler::CompileOptions options;
  options.accumulate = trial.recipe.batch;
  options.gradient = gradient_element(trial.numerics, trial.gradient_bits);
  ESPALIER_TRY(device.program, compiler::compile(device.graph, trial.plan, options));
  if (trial.stream.replay_bytes > 0) {
    ESPALIER_CHECK_OK(codegen::check_replay(*device.program, Bytes{trial.stream.replay_bytes}));
  }
  return training;
}

int Training::cut() const { return cut_; }

Result<train::TrainResult> Training::run(const train::SampleStore& training,
                                         const train::SampleStore& test,
                                         const train::TrainOptions& options) {
  train::TrainOptions with = options;
  with.test_every_epoch = trial_.test_every_epoch;
  if (device_ == nullptr) {
    session_ = std::make_unique<train::Session>(*network_, trial_.plan, head_, training.cut());
    return train::train(*session_, training, test, trial_.recipe, with);
  }
  const auto seed = static_cast<std::uint32_t>(trial_.recipe.seed);
  engine::calibrate(*device_->program, *network_, trial_.plan, training, trial_.recipe);
  device_->engine.emplace(*device_->program, engine::EngineOptions{.stochastic = trial_.stochastic,
                                                                   .seed = seed,
                                                                   .clip = trial_.recipe.clip});
  device_->watch.emplace(*device_->program);
  return engine::train(*device_->engine, *device_->program, *network_, trial_.plan, training, test,
                       trial_.recipe, with, &*device_->watch, trial_.stream);
}

ir::Graph Training::tuned_graph(std::int64_t* saturated) const {
  if (session_ != nullptr) return session_->tuned_graph(saturated);
  if (saturated != nullptr) *saturated = 0;
  return device_->engine->tuned_graph();
}

std::optional<Bytes> Training::workspace() const {
  if (session_ == nullptr) return std::nullopt;
  const auto bytes = [&](train::Passes passes) {
    return static_cast<std::int64_t>(train::Workspace(*session_, passes).bytes());
  };
  return Bytes{bytes(train::Passes::kForwardAndBackward) + bytes(train::Passes::kForward)};
}

std::vector<engine::GradientUse> Training::gradient_use() const {
  if (device_ == nullptr || !device_->watch) return {};
  return device_->watch->found();
}

std::optional<Bytes> Training::sram() const {
  if (device_ == nullptr) return std::nullopt;
  return device_->program->sram_bytes();
}

std::optional<codegen::ReplayLayout> Training::replay_layout() const {
  if (device_ == nullptr || trial_.stream.replay_bytes == 0) return std::nullopt;
  return codegen::replay_layout(*device_->program, trial_.stream.replay_bytes);
}

}  // namespace espalier::trials
