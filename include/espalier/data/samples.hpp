// What training and evaluation read: model inputs and labels by index.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

/// A dataset seen through the input of one model. Immutable; all members are thread-safe.
class Samples {
 public:
  Samples(Dataset dataset, InputPipeline pipeline)
      : dataset_(std::move(dataset)), pipeline_(std::move(pipeline)) {}

  [[nodiscard]] std::int64_t size() const { return dataset_.size(); }
  [[nodiscard]] int classes() const { return dataset_.classes; }
  /// The label of sample `i`, which must be in [0, size()).
  [[nodiscard]] int label(std::int64_t i) const {
    return dataset_.labels.at(static_cast<std::size_t>(i));
  }
  /// Writes the model input of sample `i`, channels last, computed at each call. A sample that
  /// cannot be preprocessed is reported by its index.
  Status input(std::int64_t i, std::span<std::int8_t> out_hwc) const;
  /// Values per sample.
  [[nodiscard]] std::size_t elements() const { return pipeline_.elements(); }

  /// Equal for equal samples: identity_json() on one line.
  [[nodiscard]] std::string identity() const { return json_text(identity_json()); }
  /// The dataset's identity with the member `preprocess` added (canonical text).
  [[nodiscard]] Json identity_json() const;

  [[nodiscard]] const Dataset& dataset() const { return dataset_; }
  [[nodiscard]] const InputPipeline& pipeline() const { return pipeline_; }

 private:
  Dataset dataset_;
  InputPipeline pipeline_;
};

}  // namespace espalier::data
