// Says when a measured accuracy means nothing, and why.
#pragma once

#include <string>
#include <vector>

#include "espalier/train/trainer.hpp"

namespace espalier::train {

/// Whether classes are told apart no better than by chance, though there are several, and either
/// the samples, but one in a hundred, are taken for the same class or the loss is that of guessing.
bool learned_nothing(const Evaluation& result);

/// Whether a training ran away, though its numbers are finite again: it learned nothing where
/// training the head alone on the same samples does. Its loss says how far it ran, not what its
/// plan is worth, so that it counts as diverged.
bool collapsed(const Evaluation& result, const Evaluation& head);

/// What makes the result of an evaluation doubtful, each with its likely cause; empty for a sound
/// one. Told are: one class predicted for every sample, an accuracy within two standard errors of
/// the most common label's share and of chance over classes, an accuracy that mostly is that share,
/// and a loss that is no better than that of guessing. `names` are those of the classes; `trained`
/// says whether the result is of a training, which then might be tried in another way.
std::vector<std::string> doubts(const Evaluation& result, const std::vector<std::string>& names,
                                bool trained = true);

}  // namespace espalier::train
