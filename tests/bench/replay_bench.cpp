// espalier_replay: classes that come one pair after the other, learned on the host engine as the
// emitted C learns them, with and without a replay memory; a table of accuracies over all classes.
//
// The last convolutions learn, biases and an eighth of the weights' channels, one pass over the
// training samples: all of the first two classes, then of the next two. Behind each new sample come
// a few steps from the memory. What the frozen prefix makes of a sample is computed once for all
// rows.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "espalier/codegen/emit.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/engine/replay.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/train/session.hpp"
#include "espalier/trials/sets.hpp"

namespace espalier::bench {
namespace {

struct Options {
  std::string model;
  std::string train;
  std::string test;
  std::vector<std::string> memories{"32KiB", "128KiB"};
  int limit_train = 1000;
  int limit_test = 300;
  int convs = 6;
  int classes_a_task = 2;
  int replays = 2;
  double learning_rate = 0.05;
  std::uint64_t seed = 0;
};

template <typename T>
T taken(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(result).value();
}

// Samples as the frozen prefix leaves them.
struct Latents {
  std::vector<std::vector<std::int8_t>> bytes;
  std::vector<int> labels;
};

// Moves latents into an arena and out of it.
void move(engine::Engine& engine, const compiler::Program& program, const compiler::Latent& latent,
          std::vector<std::int8_t>& bytes, bool in) {
  std::int8_t* at = bytes.data();
  for (const compiler::ValueId id : latent.values) {
    const auto count = static_cast<std::size_t>(program.graph.value(id).bytes());
    std::int8_t* value = engine.activation(id);
    std::memcpy(in ? value : at, in ? at : value, count);
    at += count;
  }
}

Latents latents_of(const compiler::Program& program, const data::Samples& samples) {
  engine::Engine engine(program, {});
  const compiler::Latent latent = compiler::latent_of(program.graph);
  Latents latents;
  for (std::int64_t i = 0; i < samples.size(); ++i) {
    const Status status = samples.input(i, {engine.input(), samples.elements()});
    if (!status.ok()) throw std::runtime_error(status.error().message());
    engine.run_forward(0, latent.first);
    latents.bytes.emplace_back(static_cast<std::size_t>(latent.bytes));
    move(engine, program, latent, latents.bytes.back(), false);
    latents.labels.push_back(samples.label(i));
  }
  return latents;
}

// One row: a size of the memory, 0 for none, and whether classes come in pairs.
struct Row {
  std::string name;
  std::int64_t bytes = 0;
  bool in_turn = true;
  std::string kept;
  std::vector<double> accuracy;  // over the classes seen, behind each task
};

// Samples in the order in which they come.
std::vector<std::size_t> order_of(const Latents& latents, const Options& options, bool in_turn) {
  std::vector<std::size_t> order(latents.labels.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Rng rng{options.seed, 0x5245504C};  // "REPL"
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  if (in_turn) {
    std::ranges::stable_sort(
        order, {}, [&](std::size_t i) { return latents.labels[i] / options.classes_a_task; });
  }
  return order;
}

double accuracy(engine::Engine& engine, const compiler::Program& program, Latents& test,
                int classes) {
  const compiler::Latent latent = compiler::latent_of(program.graph);
  int hits = 0;
  int count = 0;
  for (std::size_t i = 0; i < test.labels.size(); ++i) {
    if (test.labels[i] >= classes) continue;
    move(engine, program, latent, test.bytes[i], true);
    engine.run_forward(latent.first);
    const auto logits = engine.logits();
    hits += std::ranges::max_element(logits) - logits.begin() == test.labels[i] ? 1 : 0;
    ++count;
  }
  return static_cast<double>(hits) / std::max(1, count);
}

void measure(Row& row, const compiler::Program& program, Latents training, Latents test,
             const Options& options) {
  const compiler::Latent latent = compiler::latent_of(program.graph);
  engine::Engine engine(program, {true, static_cast<std::uint32_t>(options.seed),
                                  static_cast<float>(options.learning_rate)});
  // Without a memory one of the smallest size is kept and never drawn from.
  const bool replays = row.bytes > 0;
  engine::Replay replay(program, std::max<std::int64_t>(row.bytes, 1 << 20),
                        static_cast<std::uint32_t>(options.seed));
  if (replays) {
    replay = engine::Replay(program, row.bytes, static_cast<std::uint32_t>(options.seed));
  }
  const int classes = program.graph.forward->head.classes;
  int task = 0;
  for (const std::size_t i : order_of(training, options, row.in_turn)) {
    const int label = training.labels[i];
    if (row.in_turn && label / options.classes_a_task > task) {
      ++task;
      row.accuracy.push_back(accuracy(engine, program, test, task * options.classes_a_task));
    }
    move(engine, program, latent, training.bytes[i], true);
    replay.train_step_kept(engine, label, latent.first);
    for (int k = 0; replays && k < options.replays; ++k) replay.train_replay(engine);
  }
  row.accuracy.push_back(accuracy(engine, program, test, classes));
  if (!replays) return;
  int all = 0;
  for (const int kept : replay.kept()) all += kept;
  row.kept = std::to_string(all);
}

std::string cells(const Row& row, std::size_t tasks) {
  std::string text;
  for (std::size_t i = 0; i + row.accuracy.size() < tasks; ++i) text += " - |";
  for (const double value : row.accuracy) text += fmt::format(" {:.1f} |", 100 * value);
  return text;
}

void run(const Options& options) {
  ir::Graph graph = taken(import_model(options.model));
  const trials::SetOptions sets = taken(trials::set_options("auto", "", true, options.seed));
  const data::Samples training =
      taken(trials::load_samples(graph, options.train, options.limit_train, sets));
  const data::Samples test =
      taken(trials::load_samples(graph, options.test, options.limit_test, sets));
  graph.head = train::fresh_head(graph.head.features, training.classes(), options.seed);
  plan::UpdatePlan plan = taken(plan::bias_only(graph, options.convs));
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (int conv = convs - options.convs; conv < convs; ++conv) {
    plan.weights.push_back(plan::make_weight_update(graph, conv, 0.125));
  }
  std::erase_if(plan.weights,
                [](const plan::WeightUpdate& update) { return update.channels.empty(); });
  const compiler::Program program = taken(compiler::compile(graph, plan));

  std::vector<Row> rows{{"one pair after the other", 0, true, "-", {}}};
  for (const std::string& memory : options.memories) {
    const std::int64_t bytes = taken(parse_bytes(memory)).count;
    if (codegen::replay_layout(program, bytes).samples == 0) {
      throw std::runtime_error(memory + ": holds no sample");
    }
    rows.push_back({"with a replay memory of " + memory, bytes, true, "", {}});
  }
  rows.push_back({"all classes mixed", 0, false, "-", {}});
  const Latents latents = latents_of(program, training);
  const Latents tested = latents_of(program, test);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < rows.size(); i = next++) {
      measure(rows[i], program, latents, tested, options);
    }
  };
  std::jthread other(work);
  work();
  other.join();
  const auto tasks = static_cast<std::size_t>(training.classes() / options.classes_a_task);
  fmt::print(
      "{}: {} training and {} test samples, {} bytes a latent, {} steps from memory a sample\n\n",
      graph.name, training.size(), test.size(), compiler::latent_of(program.graph).bytes,
      options.replays);
  fmt::print("| classes come | samples kept |");
  for (std::size_t i = 1; i <= tasks; ++i) {
    fmt::print(" accuracy % of {} |", i * static_cast<std::size_t>(options.classes_a_task));
  }
  fmt::print("\n|---|---|");
  for (std::size_t i = 0; i < tasks; ++i) fmt::print("---|");
  fmt::print("\n");
  for (const Row& row : rows) fmt::print("| {} | {} |{}\n", row.name, row.kept, cells(row, tasks));
}

}  // namespace
}  // namespace espalier::bench

int main(int argc, char** argv) {
  espalier::bench::Options options;
  CLI::App app("Class-incremental training with and without a replay memory");
  app.add_option("model", options.model)->required();
  app.add_option("--train", options.train)->required();
  app.add_option("--test", options.test)->required();
  app.add_option("--memory", options.memories);
  app.add_option("--limit-train", options.limit_train);
  app.add_option("--limit-test", options.limit_test);
  app.add_option("--convs", options.convs);
  app.add_option("--replays", options.replays);
  app.add_option("--lr", options.learning_rate);
  app.add_option("--seed", options.seed);
  CLI11_PARSE(app, argc, argv);
  try {
    espalier::bench::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "espalier_replay: {}\n", error.what());
    return 1;
  }
  return 0;
}
