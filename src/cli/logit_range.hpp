// What a network's classifier computes over samples: the range that an exported file has to hold.
#pragma once

#include "espalier/data/samples.hpp"
#include "espalier/import/tflite_writer.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/result.hpp"

namespace espalier::cli {

/// Smallest and largest logits of `graph` over all samples, on `jobs` threads; samples are kept
/// within `limit`, or else made anew. Errors: those of reading samples.
Result<LogitRange> logit_range(const ir::Graph& graph, const data::Samples& samples, int jobs,
                               Bytes limit);

}  // namespace espalier::cli
