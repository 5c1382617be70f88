// How much memory the same accuracy takes, by training some channels or everything in the last
// layers.
#pragma once

#include <optional>
#include <string>

#include "updates.hpp"

namespace espalier::report {

/// The most accurate of the updates that train everything in the last layers, and the update of
/// least memory that trains some channels and is no less accurate.
struct Saving {
  const Update* last = nullptr;
  const Update* plan = nullptr;
  double ratio = 0;  ///< memory of `last` over that of `plan`
};

/// Nothing where no plan reaches it, or none with less memory.
std::optional<Saving> best_saving(const Updates& updates, int setting, const Model& model);
std::string in_words(const Saving& saving);

/// Two tables: for each plan the last layers that reach it, and the other way round.
void add_equal_accuracy(Section& section, const Updates& updates, int setting, const Model& model);

}  // namespace espalier::report
