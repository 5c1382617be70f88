// Chooses records of a dataset: by class, by number, or into two disjoint parts. The choice is a
// function of the dataset, the options and the seed alone, and records keep their order.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

struct SubsetOptions {
  /// How `limit` records are taken.
  enum class Take {
    kBalanced,  ///< chosen by the seed, as many of each class as of any other while they last
    kFirst,     ///< the first ones
  };
  std::vector<int> classes;  ///< keep only these, relabelled 0..n-1 in this order; empty = all
  std::int64_t limit = 0;    ///< number of records to keep; 0 = all
  Take take = Take::kBalanced;
  std::uint64_t seed = 0;  ///< used by kBalanced
};

/// Keeps the records that `options` choose. With kBalanced the numbers of records per class differ
/// by at most one, except that a class which has fewer gives all it has; a larger limit with the
/// same seed keeps every record a smaller one kept.
/// Errors, all kUsage: a class that does not exist, is named twice or has no record; a negative
/// limit; a limit above the number of records, which the diagnostic gives.
Result<Dataset> subset(Dataset dataset, const SubsetOptions& options);

struct Split {
  Dataset train;
  Dataset validation;
};

/// Sets `validation_count` records aside, balanced over classes as in subset(). The two parts are
/// disjoint, together they are the dataset, and each class that has a record keeps one for
/// training. No class gives more than half of its records, or one of two, unless so many cannot be
/// set aside otherwise. Errors: kUsage when the count is not positive or more than that rule
/// allows.
Result<Split> split(Dataset dataset, std::int64_t validation_count, std::uint64_t seed);

/// The same, but what is set aside is what subset() with this seed and `take` would take last of
/// each class: nothing of it is in a subset that leaves as many records of every class.
Result<Split> split_last(Dataset dataset, std::int64_t validation_count, SubsetOptions::Take take,
                         std::uint64_t seed);

/// Sets the `index`-th of `count` parts aside, each record being in exactly one of them: parts, and
/// the records of any class in them, differ in number by at most one. Errors: kUsage for an index
/// that is not in [0, count), for fewer than two parts, for more than there are records, and when a
/// class has a single record, which would have to be on both sides.
/// Records of `joined`, the other side of a split() that left `dataset`, follow on the training
/// side.
Result<Split> fold(Dataset dataset, int index, int count, std::uint64_t seed, Dataset joined = {});

}  // namespace espalier::data
