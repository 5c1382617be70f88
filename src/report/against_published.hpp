// Plans that were found beside the published ones of about the same memory.
#pragma once

#include "updates.hpp"

namespace espalier::report {

/// One table: each found plan, the published plan that is nearest in memory (at most a twentieth
/// off), and how far it is above, paired by seed. None where no pair is.
void add_against_published(Section& section, const Updates& updates, int setting,
                           const Model& model);

}  // namespace espalier::report
