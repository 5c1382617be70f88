// Compile-time differentiation: the forward graph and a plan become a training graph.
#pragma once

#include "espalier/compiler/training_graph.hpp"
#include "espalier/plan/update_plan.hpp"

namespace espalier::compiler {

/// The whole training step as reverse-mode differentiation writes it down: every mask and input is
/// kept, the gradients of all parameters, frozen ones included, are formed, and the trained ones
/// are applied at the end. The passes take it from there. `graph` must outlive the result; the plan
/// must be valid for it.
TrainingGraph differentiate(const ir::Graph& graph, const plan::UpdatePlan& plan,
                            int accumulate = 1);

}  // namespace espalier::compiler
