#include "espalier/data/subset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <utility>

#include "espalier/support/rng.hpp"

namespace espalier::data {
namespace {

// Separate streams, so that a subset and a split with one seed are independent choices.
constexpr std::uint64_t kSubsetStream = 1;
constexpr std::uint64_t kSplitStream = 2;
constexpr std::uint64_t kFoldStream = 3;

using Indices = std::vector<std::size_t>;

std::vector<Indices> records_by_class(const Dataset& dataset) {
  std::vector<Indices> records(static_cast<std::size_t>(dataset.classes));
  for (std::size_t i = 0; i < dataset.labels.size(); ++i) {
    records[static_cast<std::size_t>(dataset.labels[i])].push_back(i);
  }
  return records;
}

// Divides `total` as evenly as `available` allows; what cannot be divided goes to the classes that
// come first in `order`. sum(available) must be at least total.
Indices even_shares(const Indices& available, std::size_t total,
                    const std::vector<std::uint32_t>& order) {
  Indices shares(available.size(), 0);
  while (total > 0) {
    Indices open;
    for (const std::uint32_t c : order) {
      if (shares[c] < available[c]) open.push_back(c);
    }
    const std::size_t each = std::max<std::size_t>(1, total / open.size());
    for (const std::size_t c : open) {
      const std::size_t more = std::min({each, available[c] - shares[c], total});
      shares[c] += more;
      total -= more;
    }
  }
  return shares;
}

std::size_t sum_of(const Indices& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

// How many of `total` records each class gives, at most available[c].
Indices balanced_shares(const Indices& available, std::size_t total, std::uint64_t seed,
                        std::uint64_t stream) {
  return even_shares(available, total, Rng{seed, stream}.permutation(available.size()));
}

// Each class in the order in which a choice by this seed takes its records.
std::vector<Indices> in_order(const std::vector<Indices>& records, std::uint64_t seed,
                              std::uint64_t stream) {
  std::vector<Indices> ordered(records.size());
  for (std::size_t c = 0; c < records.size(); ++c) {
    for (const std::uint32_t i : Rng{seed, stream, c}.permutation(records[c].size())) {
      ordered[c].push_back(records[c][i]);
    }
  }
  return ordered;
}

// For every record whether it is among the first shares[c] of each class.
std::vector<bool> choose(const std::vector<Indices>& ordered, const Indices& shares) {
  std::size_t size = 0;
  for (const Indices& of_class : ordered) size += of_class.size();
  std::vector<bool> chosen(size, false);
  for (std::size_t c = 0; c < ordered.size(); ++c) {
    for (std::size_t i = 0; i < shares[c]; ++i) chosen[ordered[c][i]] = true;
  }
  return chosen;
}

// The records with chosen[i] == wanted, in order; their images are moved out of `from`.
Dataset extract(Dataset& from, const std::vector<bool>& chosen, bool wanted) {
  Dataset part;
  part.element = from.element;
  part.classes = from.classes;
  part.class_names = from.class_names;
  part.spec = from.spec;
  part.sha256 = from.sha256;
  part.selections = from.selections;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] != wanted) continue;
    part.images.push_back(std::move(from.images[i]));
    part.labels.push_back(from.labels[i]);
  }
  return part;
}

// The records that are not chosen, and those that are; `selection` says how.
Split divide(Dataset dataset, const std::vector<bool>& chosen, Selection selection) {
  Split parts{extract(dataset, chosen, false), extract(dataset, chosen, true)};
  selection.kind = Selection::Kind::kTrain;
  parts.train.selections.push_back(selection);
  selection.kind = Selection::Kind::kValidation;
  parts.validation.selections.push_back(std::move(selection));
  return parts;
}

Error usage(std::string diagnostic) { return Error{ErrorKind::kUsage, std::move(diagnostic)}; }

Result<Dataset> keep_classes(Dataset dataset, const std::vector<int>& classes) {
  const std::vector<Indices> records = records_by_class(dataset);
  std::vector<int> new_label(static_cast<std::size_t>(dataset.classes), -1);
  std::vector<std::string> names;
  for (const int c : classes) {
    if (c < 0 || c >= dataset.classes) {
      return usage(fmt::format("{}: no class {}; classes are 0 to {}", dataset.spec, c,
                               dataset.classes - 1));
    }
    const auto index = static_cast<std::size_t>(c);
    if (new_label[index] >= 0) {
      return usage(fmt::format("{}: class {} is named twice; name it once", dataset.spec, c));
    }
    if (records[index].empty()) {
      return usage(fmt::format("{}: class {} has no record; leave it out", dataset.spec, c));
    }
    new_label[index] = static_cast<int>(names.size());
    names.push_back(index < dataset.class_names.size() ? dataset.class_names[index]
                                                       : fmt::format("{}", c));
  }
  std::vector<bool> chosen;
  for (int& label : dataset.labels) {
    label = new_label[static_cast<std::size_t>(label)];
    chosen.push_back(label >= 0);
  }
  Dataset kept = extract(dataset, chosen, true);
  kept.classes = static_cast<int>(classes.size());
  kept.class_names = std::move(names);
  return kept;
}

}  // namespace

Result<Dataset> subset(Dataset dataset, const SubsetOptions& options) {
  if (options.limit < 0) {
    return usage(
        fmt::format("{}: limit {} is negative; 0 keeps all records", dataset.spec, options.limit));
  }
  if (!options.classes.empty()) {
    ESPALIER_TRY(dataset, keep_classes(std::move(dataset), options.classes));
  }
  if (options.limit > dataset.size()) {
    const bool split = std::any_of(
        dataset.selections.begin(), dataset.selections.end(),
        [](const Selection& selection) { return selection.kind == Selection::Kind::kTrain; });
    return usage(fmt::format("{}: limit {}, but only {} records are there{}; lower the limit",
                             dataset.spec, options.limit, dataset.size(),
                             split ? " beside those set aside for validation" : ""));
  }
  const bool balanced = options.take == SubsetOptions::Take::kBalanced;
  if (options.limit > 0) {
    const auto limit = static_cast<std::size_t>(options.limit);
    std::vector<bool> chosen(dataset.images.size(), false);
    if (balanced) {
      const std::vector<Indices> records = records_by_class(dataset);
      Indices available;
      for (const Indices& of_class : records) available.push_back(of_class.size());
      chosen = choose(in_order(records, options.seed, kSubsetStream),
                      balanced_shares(available, limit, options.seed, kSubsetStream));
    } else {
      std::fill_n(chosen.begin(), limit, true);
    }
    dataset = extract(dataset, chosen, true);
  }
  if (options.limit > 0 || !options.classes.empty()) {
    dataset.selections.push_back({.kind = Selection::Kind::kSubset,
                                  .classes = options.classes,
                                  .count = options.limit,
                                  .balanced = balanced,
                                  .seed = options.seed});
  }
  return dataset;
}

namespace {

// How many records each class gives to a split() of so many.
struct Shares {
  Indices of_class;
  bool halved = false;  // as Selection has it
};

Result<Shares> shares_aside(const Dataset& dataset, const std::vector<Indices>& records,
                            std::int64_t validation_count, std::uint64_t seed) {
  Indices available;  // each class keeps one
  Indices halves;     // likewise, and of more than two about half
  for (const Indices& of_class : records) {
    const std::size_t all_but_one = of_class.empty() ? 0 : of_class.size() - 1;
    available.push_back(all_but_one);
    halves.push_back(std::min(all_but_one, std::max<std::size_t>(1, of_class.size() / 2)));
  }
  const auto most = static_cast<std::int64_t>(sum_of(available));
  if (most < 1) {
    return usage(
        fmt::format("{}: no class has two records, one to train on and one to set aside for "
                    "validation; give more data",
                    dataset.spec));
  }
  if (validation_count < 1 || validation_count > most) {
    return usage(
        fmt::format("{}: {} of {} records cannot be set aside for validation; choose 1 to "
                    "{}, so that every class keeps one for training",
                    dataset.spec, validation_count, dataset.size(), most));
  }
  const auto total = static_cast<std::size_t>(validation_count);
  Shares shares{balanced_shares(available, total, seed, kSplitStream)};
  if (total <= sum_of(halves)) {
    Indices fewer = balanced_shares(halves, total, seed, kSplitStream);
    shares.halved = fewer != shares.of_class;
    shares.of_class = std::move(fewer);
  }
  return shares;
}

}  // namespace

Result<Split> split(Dataset dataset, std::int64_t validation_count, std::uint64_t seed) {
  const std::vector<Indices> records = records_by_class(dataset);
  ESPALIER_TRY(const Shares shares, shares_aside(dataset, records, validation_count, seed));
  return divide(std::move(dataset), choose(in_order(records, seed, kSplitStream), shares.of_class),
                {.count = validation_count, .halved = shares.halved, .seed = seed});
}

Result<Split> split_last(Dataset dataset, std::int64_t validation_count, SubsetOptions::Take take,
                         std::uint64_t seed) {
  const bool balanced = take == SubsetOptions::Take::kBalanced;
  const std::vector<Indices> records = records_by_class(dataset);
  ESPALIER_TRY(const Shares shares, shares_aside(dataset, records, validation_count, seed));
  std::vector<Indices> ordered = balanced ? in_order(records, seed, kSubsetStream) : records;
  for (Indices& of_class : ordered) std::reverse(of_class.begin(), of_class.end());
  return divide(std::move(dataset), choose(ordered, shares.of_class),
                {.count = validation_count,
                 .balanced = balanced,
                 .halved = shares.halved,
                 .last = true,
                 .seed = seed});
}

Result<Split> fold(Dataset dataset, int index, int count, std::uint64_t seed, Dataset joined) {
  if (count < 2 || index < 0 || index >= count || count > dataset.size()) {
    return usage(fmt::format("{}: there is no fold {} of {} among {} records; choose 2 to {} folds",
                             dataset.spec, index, count, dataset.size(), dataset.size()));
  }
  const std::vector<Indices> ordered = in_order(records_by_class(dataset), seed, kFoldStream);
  std::vector<bool> chosen(dataset.images.size(), false);
  std::size_t dealt = 0;
  for (std::size_t c = 0; c < ordered.size(); ++c) {
    if (ordered[c].size() == 1) {
      return usage(
          fmt::format("{}: class {} has a single record, which cannot be both trained and "
                      "judged; leave it out",
                      dataset.spec, c));
    }
    for (const std::size_t record : ordered[c]) {
      if (dealt++ % static_cast<std::size_t>(count) == static_cast<std::size_t>(index)) {
        chosen[record] = true;
      }
    }
  }
  Split parts = divide(std::move(dataset), chosen, {.folds = count, .fold = index, .seed = seed});
  parts.train.selections.back().joined = joined.size();
  std::move(joined.images.begin(), joined.images.end(), std::back_inserter(parts.train.images));
  parts.train.labels.insert(parts.train.labels.end(), joined.labels.begin(), joined.labels.end());
  return parts;
}

}  // namespace espalier::data
