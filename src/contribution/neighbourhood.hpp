// Where an analysis that may not measure everything goes on once its fixed stages are measured: to
// the updates that decide which plan a search takes, which are seldom those of the conv with the
// largest gain. Guesses at the plans from the gains so far and trains nothing.
#pragma once

#include <compare>
#include <map>
#include <vector>

#include "espalier/contribution/profile.hpp"
#include "espalier/ir/graph.hpp"

namespace espalier::contribution {

/// A trial without its seed.
struct Update {
  int depth = 0;
  int conv = -1;
  double ratio = 0;

  auto operator<=>(const Update&) const = default;
};

inline Update update_of(const TrialSpec& spec) { return {spec.depth, spec.conv, spec.ratio}; }

/// How near an update is to the plans that a search would take.
enum class Ring {
  kChosen,    ///< in one of them
  kBeside,    ///< the next ratio of a conv, or the next bias depth, of one of them
  kRunnerUp,  ///< of a conv that one of them leaves out for little
};

struct Standing {
  Ring ring = Ring::kChosen;
  double order = 0;  ///< within the ring, the smaller first
};

using Neighbourhood = std::map<Update, Standing>;

/// The updates that are in, or close to, the plans of largest gain in loss under a few budgets of
/// analytic memory, spread between what the head alone takes and what everything takes, with what
/// each is measured against (its bias depth, the head) in its ring or one before. Gains add up;
/// ratios that were not measured gain what lies between those that were. Updates that diverged are
/// left out. Empty where nothing but the head was measured, and where no plan is found with little
/// effort. `trials` are all that an analysis may measure; the derived members of the profile must
/// be up to date.
Neighbourhood neighbourhood(const ir::Graph& graph, const std::vector<TrialSpec>& trials,
                            const Profile& profile);

}  // namespace espalier::contribution
