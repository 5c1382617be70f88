// Turns the operators of a TFLite model into ops of an ir::Graph by evaluating them symbolically,
// in file order. Reads no files.
#pragma once

#include <vector>

#include "diagnostics.hpp"
#include "espalier/ir/graph.hpp"
#include "graph_builder.hpp"
#include "tflite/schema_generated.h"

namespace espalier::tflite_detail {

/// Where parameters of the graph lie in the model.
struct Origins {
  std::vector<int> operators;  ///< by op of the graph: the operator that it comes from
  std::vector<import_detail::Origin> weights;
  int head = -1;  ///< the classifier's operator
  import_detail::Origin head_weights;
  bool split_head = false;  ///< two classes from one output behind LOGISTIC
};

/// Adds tensors, ops and head of a verified model to `graph`. Everything that cannot be expressed
/// goes to `diagnostics`; the graph is complete only if there are none. `origins`, when given, are
/// filled.
void lower(const tflite::Model& model, ir::Graph& graph, import_detail::Diagnostics& diagnostics,
           Origins* origins = nullptr);

}  // namespace espalier::tflite_detail
