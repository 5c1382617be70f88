#include "espalier/trials/sets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "espalier/ir/input.hpp"

namespace espalier::trials {
namespace {

// As many records as were asked for, otherwise up to the usual number. Classes are chosen already.
Result<data::Samples> limited(const ir::Graph& graph, data::Dataset all,
                              std::optional<std::int64_t> asked, std::int64_t usual,
                              const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
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

Result<data::Dataset> open_selected(const std::string& spec, std::int64_t limit,
                                    const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
  subset.limit = limit;
  ESPALIER_TRY(data::Dataset dataset, data::open_dataset(spec));
  if (!options.classes.empty()) {
    ESPALIER_TRY(subset.classes, data::parse_classes(options.classes, dataset));
  }
  return data::subset(std::move(dataset), subset);
}

Result<data::Dataset> with_classes(data::Dataset dataset, const data::ClassNames& names,
                                   const std::string& wanted_by) {
  ESPALIER_TRY(const data::ClassMatch match,
               data::match_classes(names, wanted_by, dataset.class_names, dataset.spec));
  if (match.by_position) {
    spdlog::warn("{} has {}; {} has {}: matched by position, as one side has no names", wanted_by,
                 data::class_list(names), dataset.spec, data::class_list(dataset.class_names));
  }
  return data::order_classes(std::move(dataset), names, match);
}

Result<data::Samples> bind_samples(const ir::Graph& graph, data::Dataset dataset,
                                   const data::Preprocess& preprocess) {
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const ir::Quantization quantization = ir::file_input_quantization(graph);
  ESPALIER_TRY(data::InputPipeline pipeline,
               data::make_pipeline(preprocess, shape.height, shape.width, shape.channels,
                                   quantization.scale, quantization.zero_point, dataset.element));
  pipeline.set_file_layout(ir::file_input_dims(graph), ir::file_input_order(graph));
  ESPALIER_TRY(dataset, data::decode(std::move(dataset), pipeline));
  return data::Samples(std::move(dataset), std::move(pipeline));
}

Result<data::Samples> load_samples(const ir::Graph& graph, const std::string& spec,
                                   std::int64_t limit, const SetOptions& options) {
  ESPALIER_TRY(data::Dataset dataset, open_selected(spec, limit, options));
  return bind_samples(graph, std::move(dataset), options.preprocess);
}

Result<SampleSets> load_sets(const ir::Graph& graph, const SourceOptions& sources,
                             const SetOptions& options) {
  ESPALIER_TRY(data::Dataset all, open_selected(sources.training, 0, options));
  if (sources.validation.empty()) {
    const std::int64_t share = validation_share(sources, all.size());
    ESPALIER_TRY(data::Split parts, data::split(std::move(all), share, options.subset.seed));
    ESPALIER_TRY(data::Samples training, limited(graph, std::move(parts.train),
                                                 sources.limit_training, kUsualTraining, options));
    ESPALIER_TRY(data::Samples validation,
                 bind_samples(graph, std::move(parts.validation), options.preprocess));
    return SampleSets{std::move(training), std::move(validation)};
  }
  ESPALIER_TRY(data::Dataset other, open_selected(sources.validation, 0, options));
  ESPALIER_TRY(other, with_classes(std::move(other), all.class_names, sources.training));
  ESPALIER_TRY(data::Samples training,
               limited(graph, std::move(all), sources.limit_training, kUsualTraining, options));
  ESPALIER_TRY(data::Samples validation, limited(graph, std::move(other), sources.limit_validation,
                                                 kUsualValidation, options));
  return SampleSets{std::move(training), std::move(validation)};
}

}  // namespace espalier::trials
