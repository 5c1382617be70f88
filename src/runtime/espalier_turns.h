/* Trained channels that take turns. The weights of those whose turn it is lie in SRAM; the tensor
 * in flash holds zeros in their places, as everything that reads esp_weights expects. A change of
 * turn puts what was learned into the tensor and takes the weights of the next channels out of it.
 *
 * Flash is written by a function of the firmware, in pieces that follow each other without gaps
 * from the beginning of what takes turns to its end: behind a piece nothing is read any more that
 * stands before its end, so that sectors may be erased and programmed as they fill up. */
#ifndef ESPALIER_TURNS_H
#define ESPALIER_TURNS_H

#include "espalier_runtime.h"

/* Has the bytes of `data` in flash at `at` when it returns 0, or when it is called again; what else
 * it returns ends the change. Both are null at the end: whatever waits is to be written. */
typedef int32_t (*esp_flash_write)(void* context, const void* at, const void* data, uint32_t bytes);

/* One convolution whose channels take turns. */
typedef struct {
  const esp_conv* d;
  const int8_t*
      full;          /* in flash, with padding to a multiple of 4 bytes; null: in SRAM as a whole */
  int8_t* trained;   /* as in esp_weights */
  int16_t* channels; /* those whose turn it is, which end with it */
  int32_t count;     /* of them */
  const int16_t* sets; /* [turns][count], each set padded to an even number */
  int32_t turns;
} esp_turns;

static inline const int16_t* esp_turn_set(const esp_turns* t, int32_t turn) {
  return t->sets + turn % t->turns * ((t->count + 1) / 2 * 2);
}

/* [out][tap][in]: row by row. `room`: a row. */
static inline int32_t esp_turn_rows(const esp_turns* t, const int16_t* next, int8_t* room,
                                    esp_flash_write write, void* context) {
  const int32_t rows = t->d->out_c * t->d->kernel_h * t->d->kernel_w, width = t->d->in_c;
  const int8_t* full = t->full;
  int8_t* trained = t->trained;
  int32_t row, j, failed = 0;
  for (row = 0; row < rows && failed == 0; ++row, full += width, trained += t->count) {
    memcpy(room, full, (uint32_t)width);
    for (j = 0; j < t->count; ++j) room[t->channels[j]] = trained[j];
    for (j = 0; j < t->count; ++j) {
      trained[j] = room[next[j]];
      room[next[j]] = 0;
    }
    failed = write(context, full, room, (uint32_t)width);
  }
  return failed;
}

/* Depthwise, [channel][tap]: filter by filter. `room`: all that are trained, and a filter. */
static inline int32_t esp_turn_filters(const esp_turns* t, const int16_t* next, int8_t* room,
                                       esp_flash_write write, void* context) {
  const uint32_t taps = (uint32_t)(t->d->kernel_h * t->d->kernel_w);
  const int8_t* full = t->full;
  const int8_t* before = room + taps;
  int8_t* trained = t->trained;
  int32_t c, was = 0, is = 0, failed = 0;
  memcpy(room + taps, t->trained, taps * (uint32_t)t->count);
  for (c = 0; c < t->d->in_c && failed == 0; ++c, full += taps) {
    if (was < t->count && t->channels[was] == c) {
      memcpy(room, before, taps);
      before += taps;
      ++was;
    } else {
      memcpy(room, full, taps);
    }
    if (is < t->count && next[is] == c) {
      memcpy(trained, room, taps);
      memset(room, 0, taps);
      trained += taps;
      ++is;
    }
    failed = write(context, full, room, taps);
  }
  return failed;
}

/* The channels of `turn` take the place of those before them. Returns 0 or what `write` did. */
static inline int32_t esp_turn_channels(const esp_turns* t, int32_t turn, int8_t* room,
                                        esp_flash_write write, void* context) {
  const int16_t* next = esp_turn_set(t, turn);
  if (t->full) {
    const int32_t bytes =
        t->d->out_c * t->d->kernel_h * t->d->kernel_w * (t->d->groups > 1 ? 1 : t->d->in_c);
    const int32_t failed = t->d->groups > 1 ? esp_turn_filters(t, next, room, write, context)
                                            : esp_turn_rows(t, next, room, write, context);
    if (failed != 0) return failed;
    if (bytes % 4 != 0) {
      const int32_t none = 0;
      const int32_t padded = write(context, t->full + bytes, &none, (uint32_t)(4 - bytes % 4));
      if (padded != 0) return padded;
    }
  }
  memcpy(t->channels, next, (uint32_t)t->count * sizeof *next);
  return 0;
}

#endif
