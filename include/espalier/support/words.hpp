// Words of a command line: what was probably meant by one that is not known, and how one is
// written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// The candidate that `word` is a misspelling of; empty when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// A word as a POSIX shell takes it, quoted where it must be.
std::string shell_word(const std::string& word);

}  // namespace espalier
