// The samples that trials read: datasets loaded, selected, split and bound to a model's input. A
// pure function of files, options and seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "espalier/data/classes.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/data/subset.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::trials {

/// How the records of a dataset are chosen and become inputs.
struct SetOptions {
  data::Preprocess preprocess;
  data::SubsetOptions subset;  ///< its limit and classes are given apart; its seed also splits
  std::string classes;         ///< those to keep, as data::parse_classes() reads them; empty = all
  data::ClassNames names;      ///< or as data::find_classes() does: names with commas in them, too
};

/// Training and validation samples of the same classes.
struct SampleSets {
  data::Samples training;
  data::Samples validation;
};

/// What a measurement takes when no limit is given, if there is as much.
inline constexpr std::int64_t kUsualTraining = 2000;
inline constexpr std::int64_t kUsualValidation = 1000;

/// Where the two sets of a measurement come from.
struct SourceOptions {
  std::string training;    ///< a dataset, see data::load_dataset()
  std::string validation;  ///< another one; empty = a part of the first is set aside
  std::optional<std::int64_t> limit_training;    ///< 0 = all; unset = up to kUsualTraining
  std::optional<std::int64_t> limit_validation;  ///< 0 = all, or a third of a single source; unset
                                                 ///< = up to kUsualValidation
  /// Of a single source so many samples are not set aside, if it has as many, unless
  /// limit_validation says how many are; unset = limit_training. Measurements with other limits on
  /// training samples set the same ones aside where this is the same.
  std::optional<std::int64_t> keep;
};

/// The options as texts have them: `preprocess` as data::parse_preprocess() reads it, `classes` as
/// above; `balanced` says how limits take samples, otherwise the first ones.
Result<SetOptions> set_options(const std::string& preprocess, std::string classes, bool balanced,
                               std::uint64_t seed);

/// Opens a dataset and selects by class and number; images are decoded when it is bound. Without
/// classes to keep, data::check_labels() holds.
Result<data::Dataset> open_selected(const std::string& spec, std::int64_t limit,
                                    const SetOptions& options);

/// The dataset with its classes in the order of `names`, which `wanted_by` has; where both count
/// their classes, the dataset may lack the last ones, which then have no sample. kBadInput with
/// both lists when they are not the same; a warning when numbers and names could only be matched by
/// position, which of the numbers 0 to n - 1 is the number unless they were chosen.
Result<data::Dataset> with_classes(data::Dataset dataset, const data::ClassNames& names,
                                   const std::string& wanted_by);

/// Binds an already selected dataset to the input of a graph. kUsage when they do not fit.
Result<data::Samples> bind_samples(const ir::Graph& graph, data::Dataset dataset,
                                   const data::Preprocess& preprocess);

/// `limit` samples of a dataset, 0 = all.
Result<data::Samples> load_samples(const ir::Graph& graph, const std::string& spec,
                                   std::int64_t limit, const SetOptions& options);

/// Training and validation samples, disjoint when they are from one source. kBadInput when their
/// classes are not the same.
Result<SampleSets> load_sets(const ir::Graph& graph, const SourceOptions& sources,
                             const SetOptions& options);

/// What the trainings of one seed of a race learn from and are judged by.
struct RaceFold {
  std::optional<data::Samples> training;  ///< unset: those of the choice
  data::Samples judges;
};

/// Samples of a choice that is made by measuring, and then judged on samples that no earlier step
/// judged by, nor trained on where there are as many.
struct RaceSets {
  data::Samples training;
  data::Samples validation;    ///< those that load_sets() has, with the same sources and options
  std::vector<RaceFold> race;  ///< at least one; the seeds of a race take them in turn
  std::int64_t available = 0;  ///< samples that validation leaves: all that train and judge here

  [[nodiscard]] const RaceFold& fold(std::uint64_t turn) const { return race[turn % race.size()]; }
  [[nodiscard]] const data::Samples& race_training(std::uint64_t turn) const {
    const RaceFold& one = fold(turn);
    return one.training ? *one.training : training;
  }
  /// Of all judges of the race at least so many are among `trained` samples that load_sets() had
  /// for training, with the same sources and options but the limit on them.
  [[nodiscard]] std::int64_t judges_among(std::int64_t trained) const;
};

/// The race's samples come from what the validation samples leave of the training source. With one
/// fold, nothing else here trains on them, and an analysis as little as can be: they are what
/// load_sets() would train on last. They are as many as the validation samples, but at most a
/// quarter of what is left and no more than the limit on training samples leaves. With `folds`
/// above one each part of what is left judges in one of them, as many as there are validation
/// samples at most, and the other parts train there: with few samples that says more, since all of
/// them judge. Samples that were set aside for validation, and have judged already, train there,
/// too, so that the race has nearly as many as the plan will. The choice before it trains on all
/// parts. Errors as load_sets() and data::fold(); kUsage when nothing is left for the race, or
/// fewer than the limit on training samples asks for.
Result<RaceSets> load_race_sets(const ir::Graph& graph, const SourceOptions& sources,
                                const SetOptions& options, int folds = 1);

}  // namespace espalier::trials
