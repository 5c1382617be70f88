// The passes over a training graph and the one gate through which they run.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "espalier/compiler/training_graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// One rewriting of a training graph. None changes what a step computes, to the last bit.
struct Pass {
  std::string_view name;
  std::string_view summary;
  void (*run)(TrainingGraph&);
};

/// All passes in the order in which they run.
std::span<const Pass> passes();

/// Which passes run: bit i stands for passes()[i].
using PassSet = std::uint32_t;
inline constexpr PassSet kAllPasses = ~PassSet{0};

/// The set without one pass. kUsage, with the names there are, when there is none of that name.
Result<PassSet> without(PassSet set, std::string_view name);
/// The set of the passes named.
Result<PassSet> only(std::span<const std::string_view> names);

/// What the gate reports of each pass that ran.
struct PassReport {
  std::string_view name;
  double seconds = 0;
  std::size_t nodes = 0;  ///< afterwards
};

/// Runs the passes of a set in order. With an observer, each is timed and verified, and the
/// observer sees the graph afterwards; a violation is kInternal and names the pass. Without one
/// they only run: the search compiles thousands of plans.
Status run_passes(
    TrainingGraph& graph, PassSet set,
    const std::function<void(const PassReport&, const TrainingGraph&)>& observer = nullptr);

}  // namespace espalier::compiler
