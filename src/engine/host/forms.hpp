// The host forms, one for the kernel of each name. They take what the C kernels take, put it into
// the layouts of the vector kernels and sink what these make of it as the C does.
#pragma once

#include "runtime/espalier_kernels.h"

namespace espalier::engine::host {

#define ESPALIER_FORM(name) decltype(::esp_##name) name;
#include "forms.def"
#undef ESPALIER_FORM

}  // namespace espalier::engine::host
