#include "espalier/trials/sets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "espalier/ir/input.hpp"

namespace espalier::trials {
namespace {

// As many records as were asked for, otherwise up to the usual number. Classes are chosen already.
Result<data::Dataset> limited(data::Dataset all, std::optional<std::int64_t> asked,
                              std::int64_t usual, const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
  subset.limit = asked.value_or(all.size() > usual ? usual : 0);
  return data::subset(std::move(all), subset);
}

// How many of `size` records a single source sets aside. A third is enough; training comes first.
std::int64_t validation_share(const SourceOptions& sources, std::int64_t size) {
  if (sources.limit_validation.value_or(0) > 0) return *sources.limit_validation;
  std::int64_t share = size / 3;
  if (!sources.limit_validation) share = std::min(share, kUsualValidation);
  const std::int64_t keep = sources.keep.value_or(sources.limit_training.value_or(0));
  return std::max<std::int64_t>(1, std::min(share, size - keep));
}

// The two sides of a measurement before the limit on training samples; validation is as it will be.
struct Parts {
  data::Dataset training;
  data::Dataset validation;
};

Result<Parts> load_parts(const SourceOptions& sources, const SetOptions& options) {
  ESPALIER_TRY(data::Dataset all, open_selected(sources.training, 0, options));
  if (sources.validation.empty()) {
    const std::int64_t share = validation_share(sources, all.size());
    ESPALIER_TRY(data::Split parts, data::split(std::move(all), share, options.subset.seed));
    return Parts{std::move(parts.train), std::move(parts.validation)};
  }
  ESPALIER_TRY(data::Dataset other, open_selected(sources.validation, 0, options));
  ESPALIER_TRY(other, with_classes(std::move(other), all.class_names, sources.training));
  ESPALIER_TRY(other,
               limited(std::move(other), sources.limit_validation, kUsualValidation, options));
  return Parts{std::move(all), std::move(other)};
}

// Another seed than that of the split before it, so that the two choices are independent.
std::uint64_t fold_seed(const SetOptions& options) { return options.subset.seed + 1; }

// Data without names has as many classes as its largest label says, and may lack the last ones of
// `names`: whether it does.
bool add_last_classes(data::Dataset& dataset, const data::ClassNames& names) {
  if (!data::counts_up(names) || !data::counts_up(dataset.class_names) ||
      dataset.class_names.size() >= names.size()) {
    return false;
  }
  dataset.classes = static_cast<int>(names.size());
  dataset.class_names = names;
  return true;
}

// Classes that are the numbers 0 to n - 1, as folders may be called, in the order of these, which
// is that of names elsewhere; those that were chosen stay as they were.
Result<data::Dataset> numbers_in_order(data::Dataset dataset) {
  const bool chosen =
      std::any_of(dataset.selections.begin(), dataset.selections.end(),
                  [](const data::Selection& selection) { return !selection.classes.empty(); });
  const data::ClassNames ordered = data::in_number_order(dataset.class_names);
  if (chosen || ordered == dataset.class_names) return dataset;
  ESPALIER_TRY(const data::ClassMatch match,
               data::match_classes(ordered, dataset.spec, dataset.class_names, dataset.spec));
  return data::order_classes(std::move(dataset), ordered, match);
}

data::Element file_element(const ir::Graph& graph) {
  switch (graph.input_format.element) {
    case ir::InputElement::kInt8:
      return data::Element::kInt8;
    case ir::InputElement::kUint8:
      return data::Element::kUint8;
    case ir::InputElement::kFloat:
      break;
  }
  return data::Element::kFloat32;
}

}  // namespace

Result<SetOptions> set_options(const std::string& preprocess, std::string classes, bool balanced,
                               std::uint64_t seed) {
  SetOptions options;
  options.subset.seed = seed;
  options.subset.take =
      balanced ? data::SubsetOptions::Take::kBalanced : data::SubsetOptions::Take::kFirst;
  options.classes = std::move(classes);
  ESPALIER_TRY(options.preprocess, data::parse_preprocess(preprocess));
  return options;
}

Result<data::Dataset> open_selected(const std::string& spec, std::int64_t limit,
                                    const SetOptions& options) {
  data::SubsetOptions subset = options.subset;
  subset.limit = limit;
  ESPALIER_TRY(data::Dataset dataset, data::open_dataset(spec));
  if (!options.classes.empty()) {
    ESPALIER_TRY(subset.classes, data::parse_classes(options.classes, dataset));
  } else if (!options.names.empty() && !add_last_classes(dataset, options.names)) {
    ESPALIER_TRY(subset.classes, data::find_classes(options.names, dataset));
  }
  if (subset.classes.empty()) ESPALIER_CHECK_OK(data::check_labels(dataset));
  return data::subset(std::move(dataset), subset);
}

Result<data::Dataset> with_classes(data::Dataset dataset, const data::ClassNames& names,
                                   const std::string& wanted_by) {
  add_last_classes(dataset, names);
  if (!data::numbered(names)) {
    ESPALIER_TRY(dataset, numbers_in_order(std::move(dataset)));
  }
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
  dataset.element = data::element_for(dataset, shape.height, shape.width, shape.channels);
  ESPALIER_TRY(data::InputPipeline pipeline,
               data::make_pipeline(preprocess, shape.height, shape.width, shape.channels,
                                   quantization.scale, quantization.zero_point, dataset.element));
  pipeline.set_file_layout(ir::file_input_dims(graph), ir::file_input_order(graph),
                           file_element(graph));
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
  ESPALIER_TRY(Parts parts, load_parts(sources, options));
  ESPALIER_TRY(data::Dataset kept,
               limited(std::move(parts.training), sources.limit_training, kUsualTraining, options));
  ESPALIER_TRY(data::Samples training, bind_samples(graph, std::move(kept), options.preprocess));
  ESPALIER_TRY(data::Samples validation,
               bind_samples(graph, std::move(parts.validation), options.preprocess));
  return SampleSets{std::move(training), std::move(validation)};
}

namespace {

// Samples of the choice, and a share of them held out for the race: what an analysis of the same
// samples would train on last.
Result<RaceSets> hold_out(const ir::Graph& graph, const SourceOptions& sources,
                          const SetOptions& options, data::Dataset left, data::Samples validation) {
  const std::int64_t share = std::min(
      {validation.size(), left.size() / 4, left.size() - sources.limit_training.value_or(0)});
  if (share < 1) {
    return Error{
        ErrorKind::kUsage,
        fmt::format("{}: of {} training samples none is left for the final race; give more "
                    "data, or a smaller --limit-train",
                    sources.training, left.size())};
  }
  const std::int64_t available = left.size();
  ESPALIER_TRY(data::Split rest,
               data::split_last(std::move(left), share, options.subset.take, options.subset.seed));
  ESPALIER_TRY(data::Dataset kept,
               limited(std::move(rest.train), sources.limit_training, kUsualTraining, options));
  ESPALIER_TRY(data::Samples training, bind_samples(graph, std::move(kept), options.preprocess));
  ESPALIER_TRY(data::Samples judges,
               bind_samples(graph, std::move(rest.validation), options.preprocess));
  RaceSets sets{std::move(training), std::move(validation), {}, available};
  sets.race.push_back({std::nullopt, std::move(judges)});
  return sets;
}

}  // namespace

std::int64_t RaceSets::judges_among(std::int64_t trained) const {
  std::int64_t judges = 0;
  for (const RaceFold& one : race) judges += one.judges.size();
  return std::clamp<std::int64_t>(trained + judges - available, 0, std::min(trained, judges));
}

Result<RaceSets> load_race_sets(const ir::Graph& graph, const SourceOptions& sources,
                                const SetOptions& options, int folds) {
  ESPALIER_TRY(Parts parts, load_parts(sources, options));
  data::Dataset joined;
  if (folds > 1 && sources.validation.empty()) joined = parts.validation;
  ESPALIER_TRY(data::Samples validation,
               bind_samples(graph, std::move(parts.validation), options.preprocess));
  data::Dataset left = std::move(parts.training);
  if (folds < 2) return hold_out(graph, sources, options, std::move(left), std::move(validation));
  const std::int64_t most = left.size() - (left.size() + folds - 1) / folds + joined.size();
  if (most < sources.limit_training.value_or(0)) {
    return Error{ErrorKind::kUsage,
                 fmt::format("{}: a race of {} folds leaves {} of {} training samples to train on; "
                             "give more data, more folds, or a smaller --limit-train",
                             sources.training, folds, most, left.size() + joined.size())};
  }
  std::vector<RaceFold> race;
  for (int k = 0; k < folds; ++k) {
    ESPALIER_TRY(data::Split parts_of, data::fold(left, k, folds, fold_seed(options), joined));
    ESPALIER_TRY(data::Dataset kept, limited(std::move(parts_of.train), sources.limit_training,
                                             kUsualTraining, options));
    ESPALIER_TRY(data::Samples training, bind_samples(graph, std::move(kept), options.preprocess));
    ESPALIER_TRY(data::Dataset judging,
                 limited(std::move(parts_of.validation), std::nullopt, validation.size(), options));
    ESPALIER_TRY(data::Samples judges, bind_samples(graph, std::move(judging), options.preprocess));
    race.push_back({std::move(training), std::move(judges)});
  }
  const std::int64_t available = left.size();
  ESPALIER_TRY(left, limited(std::move(left), sources.limit_training, kUsualTraining, options));
  ESPALIER_TRY(data::Samples training, bind_samples(graph, std::move(left), options.preprocess));
  return RaceSets{std::move(training), std::move(validation), std::move(race), available};
}

}  // namespace espalier::trials
