// What the user may say about the choice of vector kernels. Apart from simd.hpp, which files for
// single instruction sets include: they must not see code that the linker shares.
#pragma once

#include "espalier/support/result.hpp"

namespace espalier::kernels {

/// kUsage when the environment variable ESPALIER_ISA names kernels that this machine does not run.
Status check_chosen_kernels();

}  // namespace espalier::kernels
