#include "espalier/compiler/compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "espalier/compiler/chains.hpp"
#include "espalier/compiler/differentiate.hpp"
#include "espalier/compiler/memory_validator.hpp"
#include "espalier/compiler/narrow.hpp"

namespace espalier::compiler {
namespace {

// The window of an op that has one, or null.
const ir::Window* window_of(const ir::Op& op) {
  if (const auto* conv = std::get_if<ir::Conv2D>(&op.params)) return &conv->window;
  if (const auto* pool = std::get_if<ir::AveragePool>(&op.params)) return &pool->window;
  if (const auto* pool = std::get_if<ir::MaxPool>(&op.params)) return &pool->window;
  return nullptr;
}

// Kernels keep extents in int16 and element counts in int32.
Status check_extents(const ir::Graph& graph) {
  std::vector<std::string> problems;
  for (const ir::Tensor& tensor : graph.tensors) {
    const ir::Shape& s = tensor.shape;
    if (std::max({s.height, s.width, s.channels}) > INT16_MAX || s.elements() > INT32_MAX / 4) {
      problems.push_back(fmt::format(
          "{}: tensor '{}' of {}x{}x{} is too large for the device: extents end at 32767",
          graph.name, tensor.name, s.height, s.width, s.channels));
    }
  }
  for (const ir::Op& op : graph.ops) {
    const ir::Window* w = window_of(op);
    if (w == nullptr) continue;
    if (std::max(w->dilation_h, w->dilation_w) > INT16_MAX) {
      problems.push_back(fmt::format("{}: '{}' is dilated by more than the 32767 of the device",
                                     graph.name, op.name));
    }
    if (std::max({w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->pad_top, w->pad_left}) >
        INT16_MAX) {
      problems.push_back(fmt::format("{}: kernel, stride or padding of '{}' is more than the 32767 "
                                     "of the device",
                                     graph.name, op.name));
    }
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

// An input that is to come by rows needs a chain that takes them.
Status check_fed(const TrainingGraph& graph) {
  if (!graph.fed || (!graph.chains.empty() && graph.chains.front().fed)) return Ok{};
  std::string readers;
  for (const Node& node : graph.nodes) {
    if (std::find(node.inputs.begin(), node.inputs.end(), graph.input) == node.inputs.end())
      continue;
    readers += (readers.empty() ? "" : ", ") + node_name(graph, node);
  }
  return Error{ErrorKind::kUsage,
               fmt::format("{}: the input cannot come by rows: {} would need it as a whole, for a "
                           "gradient of weights, for a mask whose rows end within a byte, or as "
                           "passes are off; keep it resident",
                           graph.forward->name, readers)};
}

// All but the placement.
Result<Program> build_unplaced(const ir::Graph& graph, const plan::UpdatePlan& plan,
                               const CompileOptions& options) {
  Program program;
  ESPALIER_TRY(program.graph, training_graph(graph, plan, options));
  program.recomputed = options.recomputed;
  ESPALIER_CHECK_OK(check_fed(program.graph));
  number_ranges(program.graph);
  assign_scratch(program.graph);
  program.arena = arena_problem(program.graph);
  program.state = state_layout(program.graph);
  return program;
}

Result<Program> build(const ir::Graph& graph, const plan::UpdatePlan& plan,
                      const CompileOptions& options) {
  ESPALIER_TRY(Program program, build_unplaced(graph, plan, options));
  program.placement = plan_memory(program.arena.problem);
  return program;
}

// A stretch more to run again: of those with which the program fits the one of the fewest MACs, or
// else the one that saves most; none when nothing saves.
std::optional<Stretch> next_stretch(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                    CompileOptions options, Bytes now) {
  options.observer = nullptr;
  struct Choice {
    bool fits = false;
    std::int64_t bytes = 0;
    std::int64_t macs = 0;
    Stretch stretch;
  };
  std::optional<Choice> best;
  const auto better = [&](const Choice& a) {
    if (!best || a.fits != best->fits) return !best || a.fits;
    return a.fits ? std::pair(a.macs, a.bytes) < std::pair(best->macs, best->bytes)
                  : std::pair(a.bytes, a.macs) < std::pair(best->bytes, best->macs);
  };
  const std::vector<Stretch> before = options.recomputed;
  const auto taken = [&](int op) {
    return std::any_of(before.begin(), before.end(),
                       [&](const Stretch& s) { return s.first <= op && op <= s.last; });
  };
  const int ops = static_cast<int>(graph.ops.size());
  for (int first = plan::training_cut(plan, graph); first < ops; ++first) {
    for (int last = first; last < ops && !taken(last); ++last) {
      options.recomputed = before;
      options.recomputed.push_back({first, last});
      const Result<Program> program = build_unplaced(graph, plan, options);
      if (!program.ok()) continue;
      const std::int64_t bytes =
          lower_bound(program->arena.problem) + program->state.bytes;
      const Choice choice{bytes <= options.sram->count, bytes, macs(graph, {first, last}),
                          {first, last}};
      if (bytes < now.count && better(choice)) best = choice;
    }
  }
  return best ? std::optional(best->stretch) : std::nullopt;
}

// The program, with as much run again as it takes to fit.
Result<Program> build_to_fit(const ir::Graph& graph, const plan::UpdatePlan& plan,
                             const CompileOptions& options) {
  if (!options.sram) return build(graph, plan, options);
  CompileOptions trial = options;
  trial.observer = nullptr;
  ESPALIER_TRY(Program program, build(graph, plan, trial));
  const Bytes whole = program.sram_bytes();
  while (program.sram_bytes() > *options.sram) {
    const auto stretch = next_stretch(graph, plan, trial, program.sram_bytes());
    if (!stretch) {
      return Error{ErrorKind::kInfeasible,
                   fmt::format("{}: the plan needs {} bytes of SRAM beside the stack{}; there are {}",
                               graph.name, whole.count,
                               program.recomputed.empty()
                                   ? ", and nothing saves by being recomputed"
                                   : fmt::format(", {} with what saves by being recomputed",
                                                 program.sram_bytes().count),
                               options.sram->count)};
    }
    trial.recomputed.push_back(*stretch);
    ESPALIER_TRY(program, build(graph, plan, trial));
  }
  trial.observer = options.observer;
  return build(graph, plan, trial);
}

}  // namespace

Result<TrainingGraph> training_graph(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                     const CompileOptions& options) {
  TrainingGraph training = differentiate(graph, plan, options.accumulate);
  training.fed = options.fed;
  if (options.gradient != Element::kFloat32) narrow(training, options.gradient);
  recompute(training, options.recomputed);
  if (options.observer) {
    ESPALIER_CHECK_OK(verify(training));
    options.observer({"", 0, training.nodes.size()}, training);
  }
  ESPALIER_CHECK_OK(run_passes(training, options.passes, options.observer));
  ESPALIER_CHECK_OK(check_narrow(training));
  return training;
}

Result<Program> compile(const ir::Graph& graph, const plan::UpdatePlan& plan,
                        const CompileOptions& options) {
  ESPALIER_CHECK_OK(check_extents(graph));
  if (options.accumulate < 1) {
    return Error{ErrorKind::kUsage,
                 fmt::format("accumulate {} must be at least 1", options.accumulate)};
  }
  CompileOptions checked = options;
  if (!checked.observer) checked.observer = [](const PassReport&, const TrainingGraph&) {};
  ESPALIER_TRY(Program program, build_to_fit(graph, plan, checked));
  const Status placed = validate(program.arena.problem, program.placement);
  if (!placed.ok()) return Error{ErrorKind::kInternal, placed.error().diagnostics};
  for (const Chain& chain : program.graph.chains) {
    ESPALIER_CHECK_OK(
        check_rows(program.graph, chain, [&](ValueId id) { return program.offset(id); }));
  }
  return program;
}

Result<PlannedMemory> planned_memory(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                     int accumulate, Element gradient, bool fed) {
  ESPALIER_CHECK_OK(check_extents(graph));
  CompileOptions options;
  options.accumulate = accumulate;
  options.gradient = gradient;
  options.fed = fed;
  ESPALIER_TRY(const Program program, build(graph, plan, options));
  return PlannedMemory{program.arena_bytes(), Bytes{program.state.bytes}};
}

std::vector<std::string> step_names(const Program& program) {
  std::vector<std::string> names;
  for (const Node& node : program.graph.nodes) names.push_back(node_name(program.graph, node));
  if (program.graph.turn_room >= 0) names.emplace_back("next turn");
  return names;
}

std::vector<std::string> alive_at_peak(const Program& program) {
  const std::vector<BufferLifetime>& buffers = program.arena.problem.buffers;
  const std::vector<std::int64_t> load = bytes_in_use(program.arena.problem);
  const auto peak_step =
      static_cast<int>(std::max_element(load.begin(), load.end()) - load.begin());
  std::vector<std::pair<std::int64_t, std::string>> alive;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].first > peak_step || peak_step > buffers[i].last) continue;
    alive.emplace_back(buffers[i].bytes,
                       value_name(program.graph, program.arena.value_of_buffer[i]));
  }
  std::stable_sort(alive.begin(), alive.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const std::vector<std::string> steps = step_names(program);
  std::vector<std::string> lines{fmt::format("at step {} of {}, {}:", peak_step,
                                             program.arena.problem.steps,
                                             steps[static_cast<std::size_t>(peak_step)])};
  for (const auto& [bytes, name] : alive) lines.push_back(fmt::format("{:>9}  {}", bytes, name));
  return lines;
}

}  // namespace espalier::compiler
