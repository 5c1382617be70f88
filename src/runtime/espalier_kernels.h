/* Declarations of all kernels, for the host engine. */
#ifndef ESPALIER_KERNELS_H
#define ESPALIER_KERNELS_H

#include "espalier_integer_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ESPALIER_KERNEL(name, parameters) void name parameters;
#include "kernels.def"
#undef ESPALIER_KERNEL

#ifdef __cplusplus
}
#endif

#endif
