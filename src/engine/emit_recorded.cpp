#include "espalier/engine/emit_recorded.hpp"

#include <algorithm>
#include <bit>

#include "espalier/engine/engine.hpp"

namespace espalier::engine {
namespace {

codegen::RecordedSteps record(const compiler::Program& program,
                              const codegen::EmitOptions& options) {
  // Enough for an update and a step after it, unless that takes many.
  const int steps = std::clamp(program.graph.accumulate + 1, 3, 17);
  const ir::Graph& graph = *program.graph.forward;
  const std::int64_t bytes = graph.tensor(graph.input).shape.elements();
  codegen::RecordedSteps recorded;
  const codegen::Samples samples =
      codegen::seeded_samples(recorded.seed, steps, bytes, graph.head.classes);
  Engine engine(program, {options.stochastic, options.seed, options.learning_rate, options.clip});
  for (int step = 0; step < steps; ++step) {
    std::copy_n(samples.inputs.begin() + step * bytes, bytes, engine.input());
    const int label = samples.labels[static_cast<std::size_t>(step)];
    const float loss = step + 1 < steps ? engine.train_step(label) : engine.train_head(label);
    recorded.steps.push_back(
        {std::bit_cast<std::uint32_t>(loss), codegen::state_hash(engine.state())});
    if (step + 1 < steps) engine.next_turn();
  }
  return recorded;
}

}  // namespace

std::map<std::string, std::string> emit_recorded(const compiler::Program& program,
                                                 const plan::UpdatePlan& plan,
                                                 codegen::EmitOptions options) {
  options.recorded = record(program, options);
  return codegen::emit(program, plan, options);
}

}  // namespace espalier::engine
