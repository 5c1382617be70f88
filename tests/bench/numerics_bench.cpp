// espalier_numerics: what training costs in the simulation's numerics, the device's and with
// integer gradients, as a table of processor time an image on one thread.
//
// A published plan is trained from a cached prefix, as `train` does. The variants take turns, and
// of several rounds the quickest counts: other programs on the machine only ever add time.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "espalier/import/importer.hpp"
#include "espalier/kernels/simd.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/json.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::bench {
namespace {

struct Options {
  std::string model;
  std::string plan;
  std::string train;
  std::vector<int> samples{1, 8, 64};
  int limit = 512;
  int rounds = 5;
};

template <typename T>
T taken(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(result).value();
}

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Milliseconds an image, from behind the first step to behind the last one of an epoch.
double measure(const train::Network& network, const trials::Trial& trial,
               const std::shared_ptr<const train::SampleStore>& inputs, int classes) {
  trials::Training training = taken(trials::Training::make(network, trial, classes));
  const auto store = inputs->advance(network, training.cut(), 1);
  double first = 0;
  double last = 0;
  std::int64_t images = 0;
  train::TrainOptions options;
  options.on_images = [&](std::int64_t count) {
    last = processor_seconds();
    if (first == 0) {
      first = last;
    } else {
      images += count;
    }
  };
  taken(training.run(*store, *store, options));
  return 1e3 * (last - first) / static_cast<double>(images);
}

void run(const Options& options) {
  ir::Graph graph = taken(import_model(options.model));
  const trials::SetOptions sets = taken(trials::set_options("auto", "", true, 0));
  const data::Samples samples =
      taken(trials::load_samples(graph, options.train, options.limit, sets));
  const plan::UpdatePlan plan = taken(plan::from_published(
      graph, taken(parse_json(taken(read_file(options.plan)), options.plan)), options.plan));
  const train::Network network(std::move(graph));
  const auto inputs = taken(train::SampleStore::from_samples(network, samples, 1));
  constexpr trials::Numerics kNumerics[] = {trials::Numerics::kSimulation,
                                            trials::Numerics::kDevice, trials::Numerics::kInteger};
  const auto count = options.samples.size();
  std::vector<double> best(3 * count, std::numeric_limits<double>::infinity());
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < best.size(); ++i) {
      trials::Trial trial;
      trial.plan = plan;
      trial.recipe.epochs = 1;
      trial.recipe.batch = options.samples[i / 3];
      trial.numerics = kNumerics[i % 3];
      best[i] = std::min(best[i], measure(network, trial, inputs, samples.classes()));
    }
  }
  fmt::print("{}, {}, one thread, kernels for {}\n\n", network.graph().name, options.plan,
             kernels::kernels().name);
  fmt::print(
      "| samples an update | simulation, ms an image | device | of its speed | integer | of its "
      "speed |\n|---|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < count; ++i) {
    const double* ms = best.data() + 3 * i;
    fmt::print("| {} | {:.3f} | {:.3f} | {:.0f} % | {:.3f} | {:.0f} % |\n", options.samples[i],
               ms[0], ms[1], 100 * ms[0] / ms[1], ms[2], 100 * ms[0] / ms[2]);
  }
}

}  // namespace
}  // namespace espalier::bench

int main(int argc, char** argv) {
  espalier::bench::Options options;
  CLI::App app("Processor time of training in the three numerics");
  app.add_option("model", options.model)->required();
  app.add_option("--published", options.plan, "a published plan")->required();
  app.add_option("--train", options.train)->required();
  app.add_option("--samples", options.samples, "samples an update");
  app.add_option("--limit-train", options.limit);
  app.add_option("--rounds", options.rounds);
  CLI11_PARSE(app, argc, argv);
  try {
    espalier::bench::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "espalier_numerics: {}\n", error.what());
    return 1;
  }
  return 0;
}
