// What was probably meant by a word that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// The candidate that `word` is a misspelling of; empty when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace espalier
