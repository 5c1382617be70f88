// The kernels that an engine calls, by their names in runtime/kernels.def.
#pragma once

#include "runtime/espalier_kernels.h"

namespace espalier::engine {

/// Begins as the plain C that is emitted: the reference of every other form.
struct Kernels {
#define ESPALIER_KERNEL(name, parameters) void(*name) parameters = ::name;
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
};

/// With forms for this machine's vectors, of the variant that kernels::kernels() returns, in the
/// place of what takes most of the time. They compute the same bits.
Kernels host_kernels();

}  // namespace espalier::engine
