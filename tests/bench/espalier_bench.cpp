// espalier_bench: how fast the host engine is, as one JSON document.
//
//   forward    (a) the whole network, without gradients
//   full       (b) a training step of everything
//   plan       (c) a training step of the published 100 KB plan from its cached prefix
//   analysis   (d) a slice of the contribution analysis: 24 trials spread over depth and ratio
//   kernels    (e) each kernel on each shape of the networks
//   search     evaluations per second of the memory model that the evolution calls
//
// (a) to (d) are of the first model given, (e) of all. With --dump, inputs, labels, orders and
// results go to a folder from which pytorch_bench.py runs the same trainings. With --serve, the
// first model is measured on demand instead, so that peers_bench.py can take turns.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/compiler/compile.hpp"
#include "espalier/contribution/analysis.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/data/subset.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/kernels/choice.hpp"
#include "espalier/kernels/simd.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/trainer.hpp"
#include "kernel_bench.hpp"
#include "peak.hpp"
#include "testing/published_plans.hpp"

namespace espalier::bench {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// The slice: 7 convs with three trainings each, conv 0 with two, and the head alone make 24.
const std::vector<int> kSliceLayers{0, 6, 12, 18, 24, 30, 36, 41};
const std::vector<double> kSliceRatios{0.125, 1.0};
constexpr int kSliceTraining = 128;
constexpr int kSliceValidation = 64;
constexpr int kSliceEpochs = 5;
constexpr int kImages = 512;  // behind (a) to (c)
constexpr int kBatch = 64;

struct Options {
  std::vector<std::string> models;
  std::string data;
  std::vector<int> threads{1, 2};
  std::vector<std::string> sections{"peak",     "forward", "full",   "plan",
                                    "analysis", "search",  "kernels"};
  std::string json = "-";
  std::string dump;
  bool serve = false;
  double seconds = 2.0;          // of each of (a) to (c)
  double kernel_seconds = 0.05;  // of each kernel and shape
};

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Processor time of all threads so far: what other programs on the machine do not change much.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Json rates(double images, double seconds, double cpu) {
  return {{"images_per_second", images / seconds}, {"images_per_cpu_second", images / cpu}};
}

// Pictures of noise, where no dataset is at hand: time does not depend on what they show.
data::Dataset noise(std::int64_t count) {
  data::Dataset dataset;
  dataset.classes = 10;
  dataset.spec = "noise";
  for (std::int64_t i = 0; i < count; ++i) {
    Rng rng{2, static_cast<std::uint64_t>(i)};
    data::Image image{32, 32, 3, std::vector<std::uint8_t>(32 * 32 * 3)};
    for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(rng.below(256));
    dataset.images.push_back(std::move(image));
    dataset.labels.push_back(static_cast<int>(i % 10));
  }
  for (int c = 0; c < dataset.classes; ++c) dataset.class_names.push_back(std::to_string(c));
  return dataset;
}

Result<data::Samples> load(const Options& options, const ir::Graph& graph, std::int64_t first,
                           std::int64_t count) {
  data::Dataset all = noise(first + count);
  if (!options.data.empty()) {
    ESPALIER_TRY(all, data::load_dataset(options.data));
    if (all.size() < first + count) {
      return Error{ErrorKind::kUsage,
                   fmt::format("{}: {} images are needed", options.data, first + count)};
    }
  }
  all.images = {all.images.begin() + first, all.images.begin() + first + count};
  all.labels = {all.labels.begin() + first, all.labels.begin() + first + count};
  const ir::Tensor& input = graph.tensor(graph.input);
  ESPALIER_TRY(data::InputPipeline pipeline,
               data::make_pipeline({}, input.shape.height, input.shape.width, input.shape.channels,
                                   input.quantization.scale, input.quantization.zero_point));
  return data::Samples(std::move(all), std::move(pipeline));
}

train::Recipe recipe(int epochs) {
  train::Recipe r;
  r.epochs = epochs;
  r.batch = kBatch;
  // Small enough that no plan diverges, however long it is timed.
  r.learning_rate = 1e-3;
  return r;
}

// Images per second of training `plan` from the store at its cut.
Result<Json> training_rate(const train::Network& network, const plan::UpdatePlan& plan,
                           const train::SampleStore& store, int jobs, double seconds) {
  const auto round = [&] {
    train::Session session(network, plan, train::fresh_head(network.graph().head.features, 10, 0),
                           store.cut());
    return train::train(session, store, store, recipe(1), {.jobs = jobs});
  };
  ESPALIER_CHECK_OK(round());  // warms caches
  double images = 0;
  double spent = 0;
  double cpu = 0;
  while (spent < seconds) {
    const double cpu_before = cpu_seconds();
    const auto start = Clock::now();
    ESPALIER_TRY(const train::TrainResult result, round());
    if (result.diverged) return Error{ErrorKind::kInternal, "the benchmark's training diverged"};
    images += static_cast<double>(result.images);
    spent += result.seconds;
    // The evaluation at the end is no part of the steps.
    cpu += (cpu_seconds() - cpu_before) * result.seconds / since(start);
  }
  return rates(images, spent, cpu);
}

template <typename T>
Status write_binary(const fs::path& path, const std::vector<T>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
  if (!file) return Error{ErrorKind::kCannotWrite, path.string() + ": cannot be written"};
  return Ok{};
}

Status dump_samples(const fs::path& folder, const std::string& name, const data::Samples& samples) {
  std::vector<std::int8_t> inputs(static_cast<std::size_t>(samples.size()) * samples.elements());
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < samples.size(); ++i) {
    ESPALIER_CHECK_OK(
        samples.input(i, std::span(inputs).subspan(static_cast<std::size_t>(i) * samples.elements(),
                                                   samples.elements())));
    labels.push_back(samples.label(i));
  }
  ESPALIER_CHECK_OK(write_binary(folder / (name + "_inputs.bin"), inputs));
  return write_binary(folder / (name + "_labels.bin"), labels);
}

// One step on one batch, for comparison with another program: loss before and after.
Result<Json> check_training(const train::Network& network, const plan::UpdatePlan& plan,
                            const train::SampleStore& store) {
  train::Session session(network, plan, train::fresh_head(network.graph().head.features, 10, 0),
                         store.cut());
  train::Recipe one = recipe(1);
  one.learning_rate = 0.01;
  ESPALIER_TRY(const train::TrainResult result,
               train::train(session, store, store, one, {.jobs = 1}));
  return Json{{"learning_rate", train::learning_rate_at(one, 0, 1, 1)},
              {"loss_before", result.epochs.at(0).train.loss},
              {"loss_after", result.test.loss}};
}

// Forward passes of the network with the head it was published with, batches of one size, samples
// and workspaces made beforehand.
class Forward {
 public:
  Forward(const train::Network& network, const train::SampleStore& store, int jobs)
      : session_(network, plan::head_only(network.graph()), network.graph().head, 0),
        store_(store),
        jobs_(jobs) {
    for (int i = 0; i < kBatch / train::kChunk; ++i)
      workspaces_.emplace_back(session_, train::Passes::kForward);
  }

  // Logits of samples [first, first + batch), a row each, to `out` when given.
  void run(std::uint32_t first, std::uint32_t batch, float* out = nullptr) {
    const std::uint32_t chunks = (batch + train::kChunk - 1) / train::kChunk;
    train::parallel_for(jobs_, chunks, [&](std::size_t chunk) {
      const auto begin = static_cast<std::uint32_t>(chunk) * train::kChunk;
      const std::uint32_t count = std::min<std::uint32_t>(batch - begin, train::kChunk);
      std::array<std::uint32_t, train::kChunk> indices{};
      std::iota(indices.begin(), indices.end(), first + begin);
      // One thread keeps its activations in the cache.
      train::Workspace& workspace = workspaces_[jobs_ == 1 ? 0 : chunk];
      store_.lend(std::span(indices).first(count), workspace);
      session_.forward(workspace, static_cast<int>(count), false);
      if (out == nullptr) return;
      const auto classes = static_cast<std::size_t>(session_.head().classes);
      for (std::uint32_t s = 0; s < count; ++s) {
        const float* row = session_.logits(workspace) + s * session_.logit_stride();
        std::copy_n(row, classes, out + (begin + s) * classes);
      }
    });
  }

  // Images per second, batch after batch over the samples that the store has.
  Json rate(std::uint32_t batch, double seconds) {
    run(0, batch);
    const double cpu = cpu_seconds();
    const auto start = Clock::now();
    double images = 0;
    std::uint32_t first = 0;
    do {
      run(first, batch);
      images += batch;
      first = (first + batch) % static_cast<std::uint32_t>(store_.size());
    } while (since(start) < seconds);
    return rates(images, since(start), cpu_seconds() - cpu);
  }

 private:
  train::Session session_;
  const train::SampleStore& store_;
  int jobs_;
  std::vector<train::Workspace> workspaces_;
};

class Bench {
 public:
  Bench(const Options& options, const train::Network& network)
      : options_(options), network_(network), graph_(network.graph()) {}

  Status run(Json& out) {
    ESPALIER_TRY(const plan::UpdatePlan plan, published());
    ESPALIER_TRY(const data::Samples samples, load(options_, graph_, 0, kImages));
    ESPALIER_TRY(const auto inputs, train::SampleStore::from_samples(network_, samples, 1));
    const auto prefix = inputs->advance(network_, plan::training_cut(plan, graph_), 1);
    if (!options_.dump.empty()) {
      ESPALIER_CHECK_OK(dump(plan, samples, out));
      ESPALIER_CHECK_OK(dump_logits(*inputs));
    }
    if (options_.serve) return serve(plan, *inputs, *prefix);
    for (const int jobs : options_.threads) {
      const std::string key = std::to_string(jobs);
      if (wants("forward")) {
        const train::Session session(network_, plan::head_only(graph_),
                                     train::fresh_head(graph_.head.features, 10, 0), 0);
        out["forward"][key] = forward_rate(session, *inputs, jobs);
      }
      if (wants("full")) {
        ESPALIER_TRY(out["full"][key],
                     training_rate(network_, plan::full(graph_), *inputs, jobs, options_.seconds));
      }
      if (wants("plan")) {
        ESPALIER_TRY(out["plan"][key],
                     training_rate(network_, plan, *prefix, jobs, options_.seconds));
      }
      if (wants("analysis")) {
        ESPALIER_TRY(out["analysis"][key], analysis(jobs));
      }
    }
    if (wants("search")) {
      ESPALIER_TRY(out["search"], search());
    }
    return Ok{};
  }

 private:
  // Measures what each line of standard input asks for, until it ends.
  Status serve(const plan::UpdatePlan& plan, const train::SampleStore& inputs,
               const train::SampleStore& prefix) const {
    std::cout << "ready" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream words(line);
      std::string task;
      int jobs = 0;
      double seconds = 0;
      words >> task >> jobs >> seconds;
      Json answer;
      if (!words || jobs < 1) return Error{ErrorKind::kUsage, "not a task: " + line};
      if (task == "forward1" || task == "forward64") {
        answer = Forward(network_, inputs, jobs).rate(task == "forward1" ? 1 : kBatch, seconds);
      } else if (task == "full") {
        ESPALIER_TRY(answer, training_rate(network_, plan::full(graph_), inputs, jobs, seconds));
      } else if (task == "plan") {
        ESPALIER_TRY(answer, training_rate(network_, plan, prefix, jobs, seconds));
      } else {
        return Error{ErrorKind::kUsage, "not a task: " + line};
      }
      std::cout << answer.dump() << std::endl;
    }
    return Ok{};
  }

  // What the published network says to the first pictures.
  Status dump_logits(const train::SampleStore& inputs) const {
    std::vector<float> logits(static_cast<std::size_t>(kImages) * graph_.head.classes);
    Forward forward(network_, inputs, 1);
    for (std::uint32_t first = 0; first < kImages; first += kBatch) {
      forward.run(first, kBatch, logits.data() + std::size_t{first} * graph_.head.classes);
    }
    return write_binary(fs::path(options_.dump) / "logits.bin", logits);
  }

  [[nodiscard]] bool wants(const char* section) const {
    return std::find(options_.sections.begin(), options_.sections.end(), section) !=
           options_.sections.end();
  }

  // Networks the plan was not published for have a plan of the same depth without weights.
  [[nodiscard]] Result<plan::UpdatePlan> published() const {
    if (network_.convs().size() != 42) return plan::bias_only(graph_, 22);
    return plan::from_published(graph_, testing::published_plan("mcunet-5fps"));
  }

  [[nodiscard]] Json forward_rate(const train::Session& session, const train::SampleStore& store,
                                  int jobs) const {
    train::evaluate(session, store, jobs);
    const double cpu = cpu_seconds();
    const auto start = Clock::now();
    double images = 0;
    do {
      train::evaluate(session, store, jobs);
      images += static_cast<double>(store.size());
    } while (since(start) < options_.seconds);
    return rates(images, since(start), cpu_seconds() - cpu);
  }

  [[nodiscard]] Result<Json> analysis(int jobs) const {
    ESPALIER_TRY(const data::Samples training, load(options_, graph_, 0, kSliceTraining));
    ESPALIER_TRY(const data::Samples validation,
                 load(options_, graph_, kSliceTraining, kSliceValidation));
    const contribution::AnalysisOptions slice = slice_options(jobs);
    const double cpu = cpu_seconds();
    const auto start = Clock::now();
    ESPALIER_TRY(const contribution::Profile profile,
                 contribution::analyze(network_, training, validation, slice));
    const double seconds = since(start);
    const double cpu_spent = cpu_seconds() - cpu;
    Json trials = Json::array();
    for (const contribution::Trial& trial : profile.trials) {
      trials.push_back({{"depth", trial.spec.depth},
                        {"conv", trial.spec.conv},
                        {"ratio", trial.spec.ratio},
                        {"loss", trial.loss},
                        {"diverged", trial.diverged}});
    }
    return Json{{"seconds", seconds},
                {"cpu_seconds", cpu_spent},
                {"trials_per_second", static_cast<double>(profile.trials.size()) / seconds},
                {"trials", std::move(trials)}};
  }

  [[nodiscard]] static contribution::AnalysisOptions slice_options(int jobs) {
    contribution::AnalysisOptions slice;
    slice.recipe.epochs = kSliceEpochs;
    slice.recipe.batch = kBatch;
    slice.layers = kSliceLayers;
    slice.ratios = kSliceRatios;
    slice.jobs = jobs;
    return slice;
  }

  // Calls of `cost` per second.
  template <typename Cost>
  [[nodiscard]] static double evaluations_per_second(const Cost& cost) {
    const auto start = Clock::now();
    std::int64_t evaluations = 0;
    std::int64_t sum = 0;
    do {
      sum += cost();
      ++evaluations;
    } while (since(start) < 0.5);
    volatile std::int64_t sink = sum;
    static_cast<void>(sink);
    return static_cast<double>(evaluations) / since(start);
  }

  [[nodiscard]] Result<Json> search() const {
    ESPALIER_TRY(const plan::UpdatePlan plan, published());
    return Json{{"analytic_evaluations_per_second", evaluations_per_second([&] {
                   return cost::analytic_memory(plan, graph_).total_bits;
                 })},
                {"planned_evaluations_per_second", evaluations_per_second([&] {
                   return compiler::planned_memory(graph_, plan)->total().count;
                 })}};
  }

  Status dump(const plan::UpdatePlan& plan, const data::Samples& samples, Json& out) const {
    const fs::path folder = options_.dump;
    std::error_code ignored;  // writing the first file reports it
    fs::create_directories(folder, ignored);
    ESPALIER_CHECK_OK(dump_samples(folder, "train", samples));
    ESPALIER_TRY(const data::Samples validation,
                 load(options_, graph_, kSliceTraining, kSliceValidation));
    ESPALIER_CHECK_OK(dump_samples(folder, "validation", validation));
    const ir::Head head = train::fresh_head(graph_.head.features, 10, 0);
    ESPALIER_CHECK_OK(write_binary(folder / "head_weights.bin", head.weights));
    ESPALIER_CHECK_OK(write_binary(folder / "head_bias.bin", head.bias));
    ESPALIER_TRY(const data::Samples few, load(options_, graph_, 0, kBatch));
    ESPALIER_TRY(const auto inputs, train::SampleStore::from_samples(network_, few, 1));
    ESPALIER_TRY(out["check"]["full"], check_training(network_, plan::full(graph_), *inputs));
    const auto prefix = inputs->advance(network_, plan::training_cut(plan, graph_), 1);
    ESPALIER_TRY(out["check"]["plan"], check_training(network_, plan, *prefix));

    // What to train, channel by channel, so that the other program need not choose.
    const auto plan_json = [&](const plan::UpdatePlan& p) {
      Json weights = Json::array();
      for (const plan::WeightUpdate& w : p.weights) {
        weights.push_back({{"conv", w.conv}, {"channels", w.channels}});
      }
      return Json{{"bias_depth", p.bias_depth}, {"weights", weights}};
    };
    Json trials = Json::array();
    for (const contribution::TrialSpec& spec :
         contribution::list_trials(graph_, slice_options(1))) {
      trials.push_back(plan_json(contribution::trial_plan(graph_, spec)));
    }
    const Json tasks{{"model", fs::absolute(options_.models.front()).string()},
                     {"input_scale", graph_.tensor(graph_.input).quantization.scale},
                     {"input_zero_point", graph_.tensor(graph_.input).quantization.zero_point},
                     {"batch", kBatch},
                     {"classes", 10},
                     {"images", kImages},
                     {"slice_training", kSliceTraining},
                     {"slice_validation", kSliceValidation},
                     {"slice_epochs", kSliceEpochs},
                     {"full", plan_json(plan::full(graph_))},
                     {"plan", plan_json(plan)},
                     {"trials", trials}};
    return write_json(folder / "tasks.json", tasks);
  }

  const Options& options_;
  const train::Network& network_;
  const ir::Graph& graph_;
};

Status run(const Options& options) {
  ESPALIER_CHECK_OK(kernels::check_chosen_kernels());
  Json out{{"schema", "espalier.bench/1"}, {"instruction_set", kernels::kernels().name}};
  const auto wants = [&](const char* section) {
    return std::find(options.sections.begin(), options.sections.end(), section) !=
           options.sections.end();
  };
  if (wants("peak") && !options.serve) {
    for (const int threads : options.threads) {
      const Peak peak = measure_peak(threads);
      out["peak"][std::to_string(threads)] = {{"float_gmacs_per_second", peak.float_macs * 1e-9},
                                              {"int8_gmacs_per_second", peak.integer_macs * 1e-9},
                                              {"read_gb_per_second", peak.bytes * 1e-9}};
    }
  }
  for (const std::string& path : options.models) {
    ESPALIER_TRY(ir::Graph graph, import_model(path));
    const train::Network network(std::move(graph));
    if (path == options.models.front()) {
      out["model"] = network.graph().name;
      std::int64_t macs = 0;
      for (const ir::Op& op : network.graph().ops) macs += ir::forward_macs(op, network.graph());
      out["macs"] = macs;
      ESPALIER_CHECK_OK(Bench(options, network).run(out));
    }
    if (options.serve) return Ok{};
    if (!wants("kernels")) continue;
    Json list = Json::array();
    for (const int threads : options.threads) {
      for (Json& entry : measure_kernels(network, threads, options.kernel_seconds)) {
        list.push_back(std::move(entry));
      }
    }
    out["kernels"][network.graph().name] = std::move(list);
  }
  return write_json(options.json, out);
}

}  // namespace
}  // namespace espalier::bench

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::warn);  // the document alone goes to standard output
  espalier::bench::Options options;
  CLI::App app{"Measures the speed of Espalier's host engine"};
  app.add_option("models", options.models, "int8 models, ONNX")->required();
  app.add_option("--data", options.data, "Dataset, such as cifar10:FILE; default noise");
  app.add_option("--threads", options.threads, "Thread counts to measure")->capture_default_str();
  app.add_option("--sections", options.sections, "What to measure")->capture_default_str();
  app.add_option("--seconds", options.seconds, "Time for each training and forward rate");
  app.add_option("--kernel-seconds", options.kernel_seconds, "Time for each kernel and shape");
  app.add_option("--json", options.json, "Where the document goes")->capture_default_str();
  app.add_flag("--serve", options.serve,
               "Answer lines 'forward1|forward64|full|plan THREADS SECONDS' with a rate each");
  app.add_option("--dump", options.dump, "Folder for what pytorch_bench.py needs");
  CLI11_PARSE(app, argc, argv);
  const espalier::Status status = espalier::bench::run(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.error().message());
  return 1;
}
