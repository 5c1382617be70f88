/* Vectors of 128 bits: the instructions of Helium (MVE), and elsewhere C that computes the same, so
 * that every kernel made of them runs on any machine. Of a vector that is loaded or stored in part
 * the first `count` elements are; the others are zero, or left alone. */
#ifndef ESP_HELIUM_H
#define ESP_HELIUM_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#include <arm_mve.h>

typedef int8x16_t esp_bytes;
typedef int16x8_t esp_halves;
typedef int32x4_t esp_ints;

/* 16 int8. */
ESP_INLINE esp_bytes esp_load_bytes(const int8_t* p) { return vldrbq_s8(p); }
ESP_INLINE esp_bytes esp_load_some_bytes(const int8_t* p, int32_t count) {
  return vldrbq_z_s8(p, vctp8q((uint32_t)count));
}
/* acc + the products of 16 int8. */
ESP_INLINE int32_t esp_dot_bytes(int32_t acc, esp_bytes a, esp_bytes b) {
  return vmladavaq_s8(acc, a, b);
}

/* Eight int16, of int16 or widened. */
ESP_INLINE esp_halves esp_load_halves(const int16_t* p, int32_t count) {
  return vldrhq_z_s16(p, vctp16q((uint32_t)count));
}
ESP_INLINE esp_halves esp_widen_halves(const int8_t* p, int32_t count) {
  return vldrbq_z_s16(p, vctp16q((uint32_t)count));
}
ESP_INLINE int64_t esp_dot_halves(int64_t acc, esp_halves a, esp_halves b) {
  return vmlaldavaq_s16(acc, a, b);
}

/* Four int32. */
ESP_INLINE esp_ints esp_all_ints(int32_t value) { return vdupq_n_s32(value); }
ESP_INLINE esp_ints esp_ints_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  const esp_ints v = {a, b, c, d};
  return v;
}
ESP_INLINE esp_ints esp_load_ints(const int32_t* p) { return vldrwq_s32(p); }
ESP_INLINE esp_ints esp_load_some_ints(const int32_t* p, int32_t count) {
  return vldrwq_z_s32(p, vctp32q((uint32_t)count));
}
ESP_INLINE void esp_store_ints(int32_t* p, esp_ints a) { vstrwq_s32(p, a); }
ESP_INLINE void esp_store_some_ints(int32_t* p, esp_ints a, int32_t count) {
  vstrwq_p_s32(p, a, vctp32q((uint32_t)count));
}
/* Of int8, neighbours or every other one. */
ESP_INLINE esp_ints esp_widen_ints(const int8_t* p) { return vldrbq_s32(p); }
ESP_INLINE esp_ints esp_widen_others(const int8_t* p, int32_t count) {
  return vldrbq_gather_offset_z_s32(p, vidupq_n_u32(0, 2), vctp32q((uint32_t)count));
}
/* The low bytes, `step` apart. */
ESP_INLINE void esp_scatter_bytes(int8_t* p, int32_t step, esp_ints a, int32_t count) {
  vstrbq_scatter_offset_p_s32(p, vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step), a,
                              vctp32q((uint32_t)count));
}
ESP_INLINE void esp_narrow_bytes(int8_t* p, esp_ints a) { vstrbq_s32(p, a); }
ESP_INLINE esp_ints esp_plus(esp_ints a, esp_ints b) { return vaddq_s32(a, b); }
ESP_INLINE esp_ints esp_plus_all(esp_ints a, int32_t b) { return vaddq_n_s32(a, b); }
/* acc + a * b. */
ESP_INLINE esp_ints esp_mac_all(esp_ints acc, esp_ints a, int32_t b) {
  return vmlaq_n_s32(acc, a, b);
}
/* Upper words of products. */
ESP_INLINE esp_ints esp_times_high(esp_ints a, esp_ints b) { return vmulhq_s32(a, b); }
/* Shifted left by what is below 0, that is right. */
ESP_INLINE esp_ints esp_shifted(esp_ints a, esp_ints by) { return vshlq_s32(a, by); }
/* Within [0, top]. */
ESP_INLINE esp_ints esp_within(esp_ints a, int32_t top) {
  return vminq_s32(vmaxq_s32(a, vdupq_n_s32(0)), vdupq_n_s32(top));
}
#else
typedef struct {
  int8_t at[16];
} esp_bytes;
typedef struct {
  int16_t at[8];
} esp_halves;
typedef struct {
  int32_t at[4];
} esp_ints;

ESP_INLINE esp_bytes esp_load_some_bytes(const int8_t* p, int32_t count) {
  esp_bytes a;
  int32_t k;
  for (k = 0; k < 16; ++k) a.at[k] = (int8_t)(k < count ? p[k] : 0);
  return a;
}
ESP_INLINE esp_bytes esp_load_bytes(const int8_t* p) { return esp_load_some_bytes(p, 16); }
ESP_INLINE int32_t esp_dot_bytes(int32_t acc, esp_bytes a, esp_bytes b) {
  int32_t k;
  for (k = 0; k < 16; ++k) acc += a.at[k] * b.at[k];
  return acc;
}

ESP_INLINE esp_halves esp_load_halves(const int16_t* p, int32_t count) {
  esp_halves a;
  int32_t k;
  for (k = 0; k < 8; ++k) a.at[k] = (int16_t)(k < count ? p[k] : 0);
  return a;
}
ESP_INLINE esp_halves esp_widen_halves(const int8_t* p, int32_t count) {
  esp_halves a;
  int32_t k;
  for (k = 0; k < 8; ++k) a.at[k] = (int16_t)(k < count ? p[k] : 0);
  return a;
}
ESP_INLINE int64_t esp_dot_halves(int64_t acc, esp_halves a, esp_halves b) {
  int32_t k;
  for (k = 0; k < 8; ++k) acc += (int64_t)a.at[k] * b.at[k];
  return acc;
}

#define ESP_EACH(value)                         \
  do {                                          \
    int32_t k;                                  \
    for (k = 0; k < 4; ++k) to.at[k] = (value); \
  } while (0)
ESP_INLINE esp_ints esp_all_ints(int32_t value) {
  esp_ints to;
  ESP_EACH(value);
  return to;
}
ESP_INLINE esp_ints esp_ints_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  const esp_ints to = {{a, b, c, d}};
  return to;
}
ESP_INLINE esp_ints esp_load_ints(const int32_t* p) {
  esp_ints to;
  ESP_EACH(p[k]);
  return to;
}
ESP_INLINE esp_ints esp_load_some_ints(const int32_t* p, int32_t count) {
  esp_ints to;
  ESP_EACH(k < count ? p[k] : 0);
  return to;
}
ESP_INLINE void esp_store_some_ints(int32_t* p, esp_ints a, int32_t count) {
  int32_t k;
  for (k = 0; k < 4 && k < count; ++k) p[k] = a.at[k];
}
ESP_INLINE void esp_store_ints(int32_t* p, esp_ints a) { esp_store_some_ints(p, a, 4); }
ESP_INLINE esp_ints esp_widen_ints(const int8_t* p) {
  esp_ints to;
  ESP_EACH(p[k]);
  return to;
}
ESP_INLINE esp_ints esp_widen_others(const int8_t* p, int32_t count) {
  esp_ints to;
  ESP_EACH(k < count ? p[2 * k] : 0);
  return to;
}
ESP_INLINE void esp_scatter_bytes(int8_t* p, int32_t step, esp_ints a, int32_t count) {
  int32_t k;
  for (k = 0; k < 4 && k < count; ++k) p[k * step] = (int8_t)(a.at[k] & 0xFF);
}
ESP_INLINE void esp_narrow_bytes(int8_t* p, esp_ints a) { esp_scatter_bytes(p, 1, a, 4); }
ESP_INLINE esp_ints esp_plus(esp_ints a, esp_ints b) {
  esp_ints to;
  ESP_EACH((int32_t)((uint32_t)a.at[k] + (uint32_t)b.at[k]));
  return to;
}
ESP_INLINE esp_ints esp_plus_all(esp_ints a, int32_t b) { return esp_plus(a, esp_all_ints(b)); }
ESP_INLINE esp_ints esp_mac_all(esp_ints acc, esp_ints a, int32_t b) {
  esp_ints to;
  ESP_EACH((int32_t)((uint32_t)acc.at[k] + (uint32_t)a.at[k] * (uint32_t)b));
  return to;
}
ESP_INLINE esp_ints esp_times_high(esp_ints a, esp_ints b) {
  esp_ints to;
  ESP_EACH((int32_t)(((int64_t)a.at[k] * b.at[k]) >> 32));
  return to;
}
ESP_INLINE esp_ints esp_shifted(esp_ints a, esp_ints by) {
  esp_ints to;
  ESP_EACH(a.at[k] >> -by.at[k]);
  return to;
}
ESP_INLINE esp_ints esp_within(esp_ints a, int32_t top) {
  esp_ints to;
  ESP_EACH(a.at[k] < 0 ? 0 : a.at[k] > top ? top : a.at[k]);
  return to;
}
#undef ESP_EACH
#endif

#endif
