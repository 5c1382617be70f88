// Which kernel a node calls, and how much temporary memory that kernel wants.
#pragma once

#include <cstdint>

#include "espalier/compiler/training_graph.hpp"
#include "espalier/runtime/kernels.hpp"
#include "runtime/espalier_runtime.h"

namespace espalier::compiler {

/// The kernel of a node. kApplyHead calls it twice, for weights and for biases.
runtime::Kernel kernel_of(const TrainingGraph& graph, const Node& node);

/// Temporary bytes that a node's kernel needs, as the runtime says beside the kernel.
std::int64_t scratch_bytes(const TrainingGraph& graph, const Node& node);

/// A convolution as the kernels know it; without `mask_bits`, which is the program's choice.
esp_conv describe_conv(const ir::Graph& graph, int op);

}  // namespace espalier::compiler
