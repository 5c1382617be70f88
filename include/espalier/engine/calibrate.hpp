// Where the exponents of integer gradients start.
#pragma once

#include <functional>

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/train/sample_store.hpp"

namespace espalier::engine {

/// A sample that lies in an engine's arena.
struct Placed {
  int label = 0;
  int first = 0;  ///< forward node to start from
};

/// Gives a program of integer gradients the smallest exponents that hold the gradients of a few
/// samples. `place` puts the i-th sample into the arena. Other programs are left alone.
void calibrate(compiler::Program& program, const std::function<Placed(Engine&, int)>& place);

/// On seeded random samples: all that is known without data.
void calibrate(compiler::Program& program);

/// On the samples that training on these would begin with; `training` as for train().
void calibrate(compiler::Program& program, const train::Network& network,
               const plan::UpdatePlan& plan, const train::SampleStore& training,
               const train::Recipe& recipe);

}  // namespace espalier::engine
