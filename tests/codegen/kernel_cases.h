/* Random layers for every kernel that has a blocked form. */
#ifndef ESPALIER_KERNEL_CASES_H
#define ESPALIER_KERNEL_CASES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kernels are numbered from 0; null behind the last. */
const char* kernel_case_name(int32_t kernel);

/* Runs the plain form of a kernel, the blocked one and that with the dot product on the layer that
 * `seed` stands for. Returns null, or what the others do differently; the text holds until the next
 * call. With `small` layers suit a slow simulation. */
const char* kernel_case_run(int32_t kernel, uint32_t seed, int32_t small);

#ifdef __cplusplus
}
#endif

#endif
