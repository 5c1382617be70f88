#include "espalier/trials/sets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "espalier/ir/input.hpp"

namespace espalier::trials {
namespace {

Result<data::Dataset> load(const std::string& spec, std::int64_t limit, const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
  subset.limit = limit;
  ESPALIER_TRY(data::Dataset dataset, data::load_dataset(spec));
  return data::subset(std::move(dataset), subset);
}

// As many records as were asked for, otherwise up to the usual number. Classes are chosen already.
Result<data::Samples> limited(const ir::Graph& graph, data::Dataset all,
                              std::optional<std::int64_t> asked, std::int64_t usual,
                              const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
  subset.classes.clear();
  subset.limit = asked.value_or(all.size() > usual ? usual : 0);
  ESPALIER_TRY(data::Dataset kept, data::subset(std::move(all), subset));
  return bind_samples(graph, std::move(kept), options.preprocess);
}

// How many of `size` records a single source sets aside. A third is enough; training comes first.
std::int64_t validation_share(const SourceOptions& sources, std::int64_t size) {
  if (sources.limit_validation.value_or(0) > 0) return *sources.limit_validation;
  std::int64_t share = size / 3;
  if (!sources.limit_validation) share = std::min(share, kUsualValidation);
  return std::max<std::int64_t>(1, std::min(share, size - sources.limit_training.value_or(0)));
}

}  // namespace

Result<data::Samples> bind_samples(const ir::Graph& graph, data::Dataset dataset,
                                   const data::Preprocess& preprocess) {
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const ir::Quantization quantization = ir::file_input_quantization(graph);
  ESPALIER_TRY(data::InputPipeline pipeline,
               data::make_pipeline(preprocess, shape.height, shape.width, shape.channels,
                                   quantization.scale, quantization.zero_point));
  return data::Samples(std::move(dataset), std::move(pipeline));
}

Result<data::Samples> load_samples(const ir::Graph& graph, const std::string& spec,
                                   std::int64_t limit, const SetOptions& options) {
  ESPALIER_TRY(data::Dataset dataset, load(spec, limit, options));
  return bind_samples(graph, std::move(dataset), options.preprocess);
}

Status same_task(const data::Samples& a, const data::Samples& b) {
  if (a.classes() == b.classes()) return Ok{};
  return Error{ErrorKind::kBadInput,
               fmt::format("{} has {} classes, {} has {}; name sets of the same task",
                           a.dataset().spec, a.classes(), b.dataset().spec, b.classes())};
}

Result<SampleSets> load_sets(const ir::Graph& graph, const SourceOptions& sources,
                             const SetOptions& options) {
  ESPALIER_TRY(data::Dataset all, load(sources.training, 0, options));
  if (sources.validation.empty()) {
    const std::int64_t share = validation_share(sources, all.size());
    ESPALIER_TRY(data::Split parts, data::split(std::move(all), share, options.subset.seed));
    ESPALIER_TRY(data::Samples training, limited(graph, std::move(parts.train),
                                                 sources.limit_training, kUsualTraining, options));
    ESPALIER_TRY(data::Samples validation,
                 bind_samples(graph, std::move(parts.validation), options.preprocess));
    return SampleSets{std::move(training), std::move(validation)};
  }
  ESPALIER_TRY(data::Dataset other, load(sources.validation, 0, options));
  ESPALIER_TRY(data::Samples training,
               limited(graph, std::move(all), sources.limit_training, kUsualTraining, options));
  ESPALIER_TRY(data::Samples validation, limited(graph, std::move(other), sources.limit_validation,
                                                 kUsualValidation, options));
  ESPALIER_CHECK_OK(same_task(training, validation));
  return SampleSets{std::move(training), std::move(validation)};
}

}  // namespace espalier::trials
