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

static_assert(train::kBiasClip == ESP_BIAS_CLIP, "simulation clips biases as the device does");

// The trained body is integer arithmetic: the fast kernels give the device's features.
train::Evaluation evaluate(const Engine& engine, const train::SampleStore& test, int jobs) {
  const train::Network network(engine.tuned_graph());
  const train::Session session(network, plan::head_only(network.graph()), network.graph().head,
                               test.cut());
  return train::evaluate(session, test, jobs);
}

// The samples of one turn: all, or those whose labels lie in [first, last).
struct Group {
  int first = 0;
  int last = 0;
  std::int64_t samples = 0;
};

std::vector<Group> groups_of(const train::SampleStore& training, int classes, int in_turn) {
  const int width = in_turn > 0 ? in_turn : classes;
  std::vector<Group> groups;
  for (int first = 0; first < classes; first += width) {
    groups.push_back({first, std::min(first + width, classes), 0});
  }
  for (std::int64_t i = 0; i < training.size(); ++i) {
    ++groups[static_cast<std::size_t>(training.label(static_cast<std::uint32_t>(i)) / width)]
          .samples;
  }
  std::erase_if(groups, [](const Group& group) { return group.samples == 0; });
  return groups;
}

// One training: the samples of one group after the other, and what is kept of them.
class DeviceTraining {
 public:
  DeviceTraining(Engine& engine, const compiler::Program& program, const train::Recipe& recipe,
                 const train::TrainOptions& options, GradientWatch* watch, const Stream& stream)
      : engine_(engine),
        program_(program),
        recipe_(recipe),
        options_(options),
        watch_(watch),
        stream_(stream) {
    if (stream.replay_bytes > 0) {
      replay_.emplace(program, stream.replay_bytes, static_cast<std::uint32_t>(recipe.seed));
    }
  }

  Status train(const train::Network& network, const train::SampleStore& training,
               const train::SampleStore& test, int cut) {
    Loader loader(engine_, program_, network, training.cut(), cut);
    const std::int64_t batch = recipe_.batch;
    const std::int64_t an_epoch = training.size() * stream_.steps_of_sample();
    steps_ = std::max<std::int64_t>(1, an_epoch * recipe_.epochs / batch);
    steps_per_epoch_ = std::max<std::int64_t>(1, an_epoch / batch);
    const int classes = program_.graph.forward->head.classes;
    for (const Group& group : groups_of(training, classes, stream_.classes_in_turn)) {
      for (int epoch = 0; epoch < recipe_.epochs && !result_.diverged; ++epoch) {
        ESPALIER_CHECK_OK(pass(loader, training, test, group, epoch));
      }
      if (result_.diverged) break;
      if (stream_.classes_in_turn > 0) result_.turns.push_back({group.last, result_.test});
    }
    if (replay_) result_.kept = replay_->kept();
    return Ok{};
  }

  train::TrainResult result() && { return std::move(result_); }

 private:
  // Every sample of the group once.
  Status pass(Loader& loader, const train::SampleStore& training, const train::SampleStore& test,
              const Group& group, int epoch) {
    double loss = 0;
    std::int64_t correct = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::uint32_t index :
         train::epoch_order(recipe_, epoch, static_cast<std::size_t>(training.size()))) {
      const int label = training.label(index);
      if (label < group.first || label >= group.last) continue;
      if (!options_.finish && interrupted()) return Error{ErrorKind::kInterrupted, "interrupted"};
      change_turn();
      loader.load(training, index);
      look_at(engine_, watch_, seen_++);
      const float one = step([&] {
        if (epoch < recipe_.head_epochs) return engine_.train_head(label, loader.first());
        return replay_ ? replay_->train_step_kept(engine_, label, loader.first())
                       : engine_.train_step(label, loader.first());
      });
      const std::span<const float> logits = engine_.logits();
      correct += std::max_element(logits.begin(), logits.end()) - logits.begin() == label ? 1 : 0;
      loss += static_cast<double>(one);
      engine_.watch(nullptr);
      for (int k = 1; k < stream_.steps_of_sample() && !result_.diverged; ++k) {
        step([&] { return replay_->train_replay(engine_); });
      }
      if (result_.diverged) break;
      if (options_.on_images) options_.on_images(1);
    }
    result_.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result_.images = taken_;
    if (!result_.diverged) close(test, {loss, static_cast<double>(correct)}, group, epoch);
    return Ok{};
  }

  // A turn is an epoch, and one whose last batch is not full ends with its first update behind it:
  // where that takes several epochs, so does the turn, and none is left out.
  void change_turn() {
    if (!compiler::rotates(program_.graph)) return;
    const auto epochs = static_cast<std::int64_t>(result_.epochs.size()) - recipe_.head_epochs;
    if (engine_.turn() < epochs) engine_.next_turn();
  }

  // One step at the rate that is due. Its loss says whether training goes on.
  template <typename Step>
  float step(const Step& step) {
    const std::int64_t batch = recipe_.batch;
    const float rate = train::learning_rate_at(recipe_, std::min(taken_ / batch, steps_ - 1),
                                               steps_, steps_per_epoch_);
    // The recipe's rate is for the mean over a batch; the device's for 256 samples.
    engine_.set_learning_rate(rate * 256.0F / static_cast<float>(batch));
    const float loss = step();
    if (train::usable_loss(static_cast<double>(loss))) {
      ++taken_;
    } else {
      diverge();
    }
    return loss;
  }

  void diverge() {
    result_.diverged = true;
    result_.diverged_step = taken_ / recipe_.batch;
  }

  // The end of a pass, with sums over its samples.
  void close(const train::SampleStore& test, const train::Evaluation& sums, const Group& group,
             int epoch) {
    const auto samples = static_cast<double>(group.samples);
    train::EpochResult done{{sums.loss / samples, sums.accuracy / samples, {}}, std::nullopt};
    if (epoch + 1 == recipe_.epochs || options_.test_every_epoch) {
      result_.test = evaluate(engine_, test, options_.jobs);
      if (!train::usable_loss(result_.test.loss)) diverge();
      if (options_.test_every_epoch) done.test = result_.test;
    }
    result_.epochs.push_back(done);
    if (options_.on_epoch) {
      options_.on_epoch(static_cast<int>(result_.epochs.size()) - 1, result_.epochs.back());
    }
  }

  Engine& engine_;
  const compiler::Program& program_;
  const train::Recipe& recipe_;
  const train::TrainOptions& options_;
  GradientWatch* watch_;
  const Stream& stream_;
  std::optional<Replay> replay_;
  std::int64_t steps_ = 1;
  std::int64_t steps_per_epoch_ = 1;
  std::int64_t seen_ = 0;   // samples of the store
  std::int64_t taken_ = 0;  // steps, from the store and from the memory
  train::TrainResult result_;
};

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
                                 GradientWatch* watch, const Stream& stream) {
  ESPALIER_CHECK_OK(train::check(recipe));
  if (recipe.batch != program.graph.accumulate || !recipe.qas) {
    return Error{ErrorKind::kInternal, "device training: the recipe is not the program's"};
  }
  if (recipe.head_epochs > 0 && (stream.classes_in_turn > 0 || stream.replay_bytes > 0)) {
    return Error{ErrorKind::kInternal,
                 "device training: epochs of the head in a stream of classes"};
  }
  const int cut = first_op(program, plan);
  if (training.cut() > cut || test.cut() > cut) {
    return Error{ErrorKind::kInternal, "device training: samples lie behind the program's cut"};
  }
  DeviceTraining run(engine, program, recipe, options, watch, stream);
  ESPALIER_CHECK_OK(run.train(network, training, test, cut));
  engine.watch(nullptr);
  return std::move(run).result();
}

}  // namespace espalier::engine
