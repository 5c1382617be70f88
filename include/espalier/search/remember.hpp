// Costs that take long to compute, each computed once, however many searches ask for it.
#pragma once

#include "espalier/search/problem.hpp"

namespace espalier::search {

/// The same cost, remembered by candidate. Copies share what they remember, so problems that differ
/// in their limits or gains can share it. Thread-safe; never forgets, about 150 bytes a candidate.
CostFunction remembered(CostFunction cost);

}  // namespace espalier::search
