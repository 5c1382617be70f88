// The samples that trials read: datasets loaded, selected, split and bound to a model's input. A
// pure function of files, options and seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "espalier/data/preprocess.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/data/subset.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::trials {

/// How the records of a dataset are chosen and become inputs.
struct SetOptions {
  data::Preprocess preprocess;
  data::SubsetOptions subset;  ///< its limit is given apart; its seed also splits
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
};

/// Binds an already selected dataset to the input of a graph. kUsage when they do not fit.
Result<data::Samples> bind_samples(const ir::Graph& graph, data::Dataset dataset,
                                   const data::Preprocess& preprocess);

/// `limit` samples of a dataset, 0 = all.
Result<data::Samples> load_samples(const ir::Graph& graph, const std::string& spec,
                                   std::int64_t limit, const SetOptions& options);

/// kBadInput when two sets differ in their number of classes.
Status same_task(const data::Samples& a, const data::Samples& b);

/// Training and validation samples, disjoint when they are from one source. kBadInput when their
/// classes differ in number.
Result<SampleSets> load_sets(const ir::Graph& graph, const SourceOptions& sources,
                             const SetOptions& options);

}  // namespace espalier::trials
