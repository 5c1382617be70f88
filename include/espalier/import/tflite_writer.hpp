// Tuned graphs back into the TFLite file that they were imported from.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// Smallest and largest logit that a tuned head computes, as far as known.
struct LogitRange {
  float lowest = 0;
  float highest = 0;
  /// Likewise what the second logit of two classes is above the first, which is all that a file
  /// with one output behind LOGISTIC has.
  float lowest_difference = 0;
  float highest_difference = 0;
};

/// The model `original` with the parameters of `tuned`, a graph that was imported from it and
/// trained: weights and biases are replaced where they lie, the head's weights quantised anew with
/// scales of their own. Operators, metadata and the quantisation of every activation stay, the
/// logits' too unless `logits` says that theirs would clip or take less than a quarter of the
/// integers. A head of another number of classes changes the last shapes. What is written and
/// shares its buffer with other tensors gets one of its own. Errors: kBadInput when `original` is
/// not what `tuned` was imported from, or cannot hold its parameters: trained biases of a layer
/// that has none in the file, tensors of several layers.
Result<std::string> export_tflite_bytes(const ir::Graph& tuned, std::string_view original,
                                        std::optional<LogitRange> logits = std::nullopt);

/// Whether a TFLite file has others packed behind its model, labels for example, which a copy with
/// other parameters leaves as they are.
bool packs_files(std::string_view file);

/// Reads `original`, writes export_tflite_bytes to `path`, atomically.
/// Errors: as above, kMissingInput, kCannotWrite.
Status export_tflite(const ir::Graph& tuned, const std::filesystem::path& original,
                     const std::filesystem::path& path,
                     std::optional<LogitRange> logits = std::nullopt);

}  // namespace espalier
