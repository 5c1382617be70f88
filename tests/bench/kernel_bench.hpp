// Every kernel on every shape of a network: one chunk of samples per call, as training does.
#pragma once

#include "espalier/support/json.hpp"
#include "espalier/train/network.hpp"

namespace espalier::bench {

/// Measures forward, input gradient and weight gradient of each distinct convolution shape and the
/// element-wise ops of `network`, each for about `seconds`, on `threads` threads with buffers of
/// their own. One object a kernel and shape: name, shape, images_per_second, gmacs_per_second.
Json measure_kernels(const train::Network& network, int threads, double seconds);

}  // namespace espalier::bench
