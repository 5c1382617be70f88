// Logits as the model's file has them: rounded to its int8.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "espalier/support/file.hpp"
#include "tflite/schema_generated.h"

namespace espalier::testing {

/// Quantisation of a tensor in the file.
struct Scale {
  double scale = 0;  // 0: float
  int zero = 0;
};

inline double quantised(double value, const Scale& q) {
  return std::clamp<double>(std::nearbyint(value / q.scale) + q.zero, -128, 127);
}

/// Of the classifier's output in a TFLite file.
inline Scale tflite_logits(const std::filesystem::path& file) {
  const std::string bytes = *read_file(file);
  const tflite::Model* model = tflite::GetModel(bytes.data());
  const tflite::SubGraph* graph = model->subgraphs()->Get(0);
  Scale found;
  for (const tflite::Operator* op : *graph->operators()) {
    if (op->options_as_FullyConnectedOptions() == nullptr &&
        op->options_as_Conv2DOptions() == nullptr) {
      continue;
    }
    const auto* q = graph->tensors()
                        ->Get(static_cast<flatbuffers::uoffset_t>(op->outputs()->Get(0)))
                        ->quantization();
    found = {q->scale()->Get(0), static_cast<int>(q->zero_point()->Get(0))};
  }
  return found;
}

}  // namespace espalier::testing
