// Says what is doubtful about data before anything is trained on it: results would be numbers all
// the same. Each doubt names the set, what is wrong and what to do.
#pragma once

#include <string>
#include <vector>

#include "espalier/data/samples.hpp"

namespace espalier::data {

/// Doubts about one set: a single class, classes without samples (labels that begin at 1 are told
/// apart), and fewer samples than classes.
std::vector<std::string> doubts(const Dataset& dataset);

/// Doubts about a set that is trained on: classes of fewer than five samples where another has at
/// least twenty times as many.
std::vector<std::string> scarce_doubts(const Dataset& training);

/// Doubts about what the model gets to see: preprocessing that maps nearly everything to one value
/// or to the ends of the range, integers of another quantisation, axes of two orders. Looks at up
/// to 64 samples, spread evenly; a sample that cannot be read is left to those who use it.
std::vector<std::string> input_doubts(const Samples& samples);

/// Doubts about a set that is to judge what another has taught: samples that both hold, by content.
std::vector<std::string> overlap_doubts(const Dataset& training, const Dataset& test);

/// All of these about two sets, preprocessed alike.
std::vector<std::string> set_doubts(const Samples& training, const Samples& test);

}  // namespace espalier::data
