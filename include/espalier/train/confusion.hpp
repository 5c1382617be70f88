// What was taken for what: samples by label and prediction, and what can be said from that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/support/json.hpp"

namespace espalier::train {

struct Confusion {
  int classes = 0;
  std::vector<std::int64_t> counts;  ///< [label][prediction]

  Confusion() = default;
  explicit Confusion(int class_count);

  void add(int label, int prediction);
  [[nodiscard]] std::int64_t count(int label, int prediction) const;
  /// Samples with this label, and samples taken for this class.
  [[nodiscard]] std::int64_t labelled(int label) const;
  [[nodiscard]] std::int64_t predicted(int prediction) const;
  [[nodiscard]] std::int64_t samples() const;
  /// Share of a class's samples that were taken for it; nullopt for a class without samples.
  [[nodiscard]] std::optional<double> accuracy(int label) const;
  /// Share of the samples of the first `seen` classes that were taken for their own, among all
  /// classes; 0 without samples.
  [[nodiscard]] double accuracy_of_first(int seen) const;
  /// Mean of accuracy() over the classes that have samples: what always naming one class, however
  /// common, brings down to one in so many.
  [[nodiscard]] double balanced_accuracy() const;
  /// The most common label.
  [[nodiscard]] int majority() const;
  /// Mean cross entropy of always giving the labels' own shares: what guessing costs, in nats.
  [[nodiscard]] double guessing_loss() const;
};

/// One object a class: `name`, `samples`, `predicted` and `accuracy`, null without samples.
Json per_class_json(const Confusion& confusion, const std::vector<std::string>& names);

/// One line a class for people; of more than 20 classes, the ten that are recognised worst.
std::string per_class_table(const Confusion& confusion, const std::vector<std::string>& names);

}  // namespace espalier::train
