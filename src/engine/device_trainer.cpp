#include "espalier/engine/device_trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "espalier/compiler/narrow.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/support/interrupt.hpp"

namespace espalier::engine {
namespace {

// Moves samples from a store into an engine's arena, without the padding that host kernels like.
// What lies between the store's cut and the program's is run here, by the host's fast kernels.
class Loader {
 public:
  Loader(Engine& engine, const compiler::Program& program, const train::Network& network,
         int store_cut, int cut)
      : engine_(engine),
        network_(network),
        session_(network, plan::head_only(network.graph()), network.graph().head, store_cut),
        workspace_(session_),
        cut_(cut) {
    while (first_ < program.graph.backward_begin &&
           program.graph.nodes[static_cast<std::size_t>(first_)].op >= 0 &&
           program.graph.nodes[static_cast<std::size_t>(first_)].op < cut) {
      ++first_;
    }
    // Ascending: what a pruned branch alone would read is overwritten by what took its place.
    for (const ir::TensorId id : network.live_at(cut)) {
      // Activations are the first values of a training graph, by tensor. Those that no node touches
      // serve a branch that was pruned; so do those of which only rows exist, within a chain.
      const bool whole = program.arena.buffer_of_value[static_cast<std::size_t>(id)] >= 0 &&
                         program.graph.value(id).rows == 0;
      if (whole || (program.graph.fed && id == program.graph.input)) tensors_.push_back(id);
    }
  }

  // The forward node to start from.
  [[nodiscard]] int first() const { return first_; }

  void load(const train::SampleStore& store, std::uint32_t sample) {
    store.load(std::span(&sample, 1), workspace_);
    session_.forward_ops(workspace_, 1, cut_, false);
    for (const ir::TensorId id : tensors_) {
      const ir::Shape& shape = network_.graph().tensor(id).shape;
      const std::int8_t* from = workspace_.activation(id);
      std::int8_t* to = id == network_.graph().input ? engine_.input() : engine_.activation(id);
      for (std::int64_t p = 0; p < shape.pixels(); ++p) {
        std::memcpy(to, from, static_cast<std::size_t>(shape.channels));
        from += network_.stride(id);
        to += shape.channels;
      }
    }
  }

 private:
  Engine& engine_;
  const train::Network& network_;
  train::Session session_;
  train::Workspace workspace_;
  std::vector<ir::TensorId> tensors_;
  int cut_;
  int first_ = 0;
};

// The op that a step starts from. A chain that begins with an input by rows may reach into what is
// trained, and always runs whole.
int first_op(const compiler::Program& program, const plan::UpdatePlan& plan) {
  return program.graph.fed ? 0 : plan::training_cut(plan, *program.graph.forward);
}

// Every so many samples; looking at all would take longer than training on them.
void look_at(Engine& engine, GradientWatch* watch, std::int64_t sample) {
  constexpr std::int64_t kEvery = 16;
  if (watch == nullptr) return;
  if (sample % kEvery == 0) {
    engine.watch([&engine, watch](int node) { watch->look(engine, node); });
  } else {
    engine.watch(nullptr);
  }
}

// The trained body is integer arithmetic: the fast kernels give the device's features.
train::Evaluation evaluate(const Engine& engine, const train::SampleStore& test, int jobs) {
  const train::Network network(engine.tuned_graph());
  const train::Session session(network, plan::head_only(network.graph()), network.graph().head,
                               test.cut());
  return train::evaluate(session, test, jobs);
}

}  // namespace

void calibrate(compiler::Program& program, const train::Network& network,
               const plan::UpdatePlan& plan, const train::SampleStore& training,
               const train::Recipe& recipe) {
  if (compiler::range_count(program.graph) == 0) return;
  const int cut = first_op(program, plan);
  const std::vector<std::uint32_t> order =
      train::epoch_order(recipe, 0, static_cast<std::size_t>(training.size()));
  std::optional<Loader> loader;
  calibrate(program, [&](Engine& engine, int i) {
    if (!loader) loader.emplace(engine, program, network, training.cut(), cut);
    const std::uint32_t sample = order[static_cast<std::size_t>(i) % order.size()];
    loader->load(training, sample);
    return Placed{training.label(sample), loader->first()};
  });
}

Result<train::TrainResult> train(Engine& engine, const compiler::Program& program,
                                 const train::Network& network, const plan::UpdatePlan& plan,
                                 const train::SampleStore& training, const train::SampleStore& test,
                                 const train::Recipe& recipe, const train::TrainOptions& options,
                                 GradientWatch* watch) {
  ESPALIER_CHECK_OK(train::check(recipe));
  if (recipe.batch != program.graph.accumulate || !recipe.qas) {
    return Error{ErrorKind::kInternal, "device training: the recipe is not the program's"};
  }
  const int cut = first_op(program, plan);
  if (training.cut() > cut || test.cut() > cut) {
    return Error{ErrorKind::kInternal, "device training: samples lie behind the program's cut"};
  }
  Loader loader(engine, program, network, training.cut(), cut);
  const auto samples = static_cast<std::size_t>(training.size());
  const auto batch = static_cast<std::int64_t>(recipe.batch);
  const std::int64_t total = static_cast<std::int64_t>(samples) * recipe.epochs;
  const std::int64_t steps = std::max<std::int64_t>(1, total / batch);
  const std::int64_t steps_per_epoch =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(samples) / batch);
  train::TrainResult result;
  std::int64_t sample = 0;
  for (int epoch = 0; epoch < recipe.epochs && !result.diverged; ++epoch) {
    double loss = 0;
    std::int64_t correct = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::uint32_t index : train::epoch_order(recipe, epoch, samples)) {
      if (!options.finish && interrupted()) return Error{ErrorKind::kInterrupted, "interrupted"};
      const float rate = train::learning_rate_at(recipe, std::min(sample / batch, steps - 1), steps,
                                                 steps_per_epoch);
      // The recipe's rate is for the mean over a batch; the device's for 256 samples.
      engine.set_learning_rate(rate * 256.0F / static_cast<float>(batch));
      loader.load(training, index);
      const int label = training.label(index);
      look_at(engine, watch, sample);
      const float one = engine.train_step(label, loader.first());
      if (!train::usable_loss(static_cast<double>(one))) {
        result.diverged = true;
        result.diverged_step = sample / batch;
        break;
      }
      const std::span<const float> logits = engine.logits();
      correct += std::max_element(logits.begin(), logits.end()) - logits.begin() == label ? 1 : 0;
      loss += static_cast<double>(one);
      ++sample;
      if (options.on_images) options.on_images(1);
    }
    result.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.images = sample;
    if (result.diverged) break;
    train::EpochResult done{{loss / static_cast<double>(samples),
                             static_cast<double>(correct) / static_cast<double>(samples)},
                            std::nullopt};
    if (epoch + 1 == recipe.epochs || options.test_every_epoch) {
      result.test = evaluate(engine, test, options.jobs);
      if (!train::usable_loss(result.test.loss)) {
        result.diverged = true;
        result.diverged_step = sample / batch;
      }
      if (options.test_every_epoch) done.test = result.test;
    }
    result.epochs.push_back(done);
    if (options.on_epoch) options.on_epoch(epoch, result.epochs.back());
  }
  engine.watch(nullptr);
  return result;
}

}  // namespace espalier::engine
