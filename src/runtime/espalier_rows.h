/* Chains: steps that run in turns, a few rows of each at a time. Of the maps between them only the
 * rows exist that their readers still need; a map's memory is a window that moves down over it. No
 * row is computed twice.
 *
 * A chain's maps and steps are tables in flash, of the fields below; how far each map has come is
 * in the arena. Kernels see a band of rows as a map of its own: esp_band_of_conv() and so on make
 * the descriptor. */
#ifndef ESPALIER_ROWS_H
#define ESPALIER_ROWS_H

#include "esp_words.h"
#include "espalier_runtime.h"

enum {
  ESP_MAP_HEIGHT,
  ESP_MAP_ROWS, /* that its memory holds; the height: all, and they stay */
  ESP_MAP_ROW_BYTES,
  ESP_MAP_OFFSET, /* in the arena */
  ESP_MAP_READY,  /* 1: it is complete before the chain begins */
  ESP_MAP_FIELDS
};

/* Of the window that an output row needs; steps element by element have one of a row. */
enum {
  ESP_STEP_INPUT, /* a map */
  ESP_STEP_OTHER, /* the second operand's map, or -1 */
  ESP_STEP_OUTPUT,
  ESP_STEP_KERNEL, /* rows, gaps between them included */
  ESP_STEP_STRIDE,
  ESP_STEP_PAD, /* rows above */
  ESP_STEP_FIELDS
};

/* Of a map: the row at the beginning of its memory, and the row behind the last one made. */
typedef struct {
  int16_t first, end;
} esp_rows;

typedef struct {
  const int32_t* maps;
  const int32_t* steps;
  int32_t map_count, step_count;
  int8_t* arena; /* null: rows are counted alone */
  int8_t* rows;  /* an esp_rows by map */
} esp_chain;

/* What a step does in its turn. */
typedef struct {
  int32_t x, other, y; /* bytes from the beginnings of the maps' memories */
  int32_t row, rows;   /* of the output: the first, how many, */
  int32_t of;          /* of so many in all */
  int32_t in_rows, pad_top;
} esp_band;

static inline esp_rows esp_rows_of(const esp_chain* c, int32_t map) {
  esp_rows rows;
  memcpy(&rows, c->rows + map * (int32_t)sizeof rows, sizeof rows);
  return rows;
}

static inline void esp_set_rows(const esp_chain* c, int32_t map, esp_rows rows) {
  memcpy(c->rows + map * (int32_t)sizeof rows, &rows, sizeof rows);
}

static inline void esp_begin_rows(const esp_chain* c) {
  int32_t i;
  for (i = 0; i < c->map_count; ++i) {
    const int32_t* map = c->maps + i * ESP_MAP_FIELDS;
    esp_rows rows;
    rows.first = 0;
    rows.end = (int16_t)(map[ESP_MAP_READY] ? map[ESP_MAP_HEIGHT] : 0);
    esp_set_rows(c, i, rows);
  }
}

/* The first row that a reader of the map still needs. */
static inline int32_t esp_first_needed(const esp_chain* c, int32_t map) {
  int32_t first = c->maps[map * ESP_MAP_FIELDS + ESP_MAP_HEIGHT], i;
  for (i = 0; i < c->step_count; ++i) {
    const int32_t* s = c->steps + i * ESP_STEP_FIELDS;
    int32_t made, needed;
    if (s[ESP_STEP_INPUT] != map && s[ESP_STEP_OTHER] != map) continue;
    made = esp_rows_of(c, s[ESP_STEP_OUTPUT]).end;
    if (made == c->maps[s[ESP_STEP_OUTPUT] * ESP_MAP_FIELDS + ESP_MAP_HEIGHT]) continue;
    needed = s[ESP_STEP_OTHER] == map ? made : made * s[ESP_STEP_STRIDE] - s[ESP_STEP_PAD];
    if (needed < first) first = needed;
  }
  return first < 0 ? 0 : first;
}

/* Room behind the rows of a map for up to so many; rows that nobody needs any more make way. */
static inline int32_t esp_make_room(const esp_chain* c, int32_t map, int32_t wanted) {
  const int32_t* m = c->maps + map * ESP_MAP_FIELDS;
  esp_rows rows = esp_rows_of(c, map);
  if (wanted > rows.first + m[ESP_MAP_ROWS] - rows.end) {
    const int32_t needed = esp_first_needed(c, map);
    const int32_t first = needed < rows.end ? needed : rows.end;
    const int32_t step = (first - rows.first) * m[ESP_MAP_ROW_BYTES];
    if (step > 0 && c->arena) {
      int8_t* to = c->arena + m[ESP_MAP_OFFSET];
      esp_copy(to, to + step, (rows.end - first) * m[ESP_MAP_ROW_BYTES]);
    }
    rows.first = (int16_t)first;
    esp_set_rows(c, map, rows);
    if (wanted > rows.first + m[ESP_MAP_ROWS] - rows.end) {
      wanted = rows.first + m[ESP_MAP_ROWS] - rows.end;
    }
  }
  return wanted;
}

/* The rows that a step can make now; 0: none. They count as made. */
static inline int32_t esp_next_band(const esp_chain* c, int32_t step, esp_band* b) {
  const int32_t* s = c->steps + step * ESP_STEP_FIELDS;
  const int32_t* x = c->maps + s[ESP_STEP_INPUT] * ESP_MAP_FIELDS;
  const int32_t* y = c->maps + s[ESP_STEP_OUTPUT] * ESP_MAP_FIELDS;
  const int32_t stride = s[ESP_STEP_STRIDE], pad = s[ESP_STEP_PAD];
  const esp_rows in = esp_rows_of(c, s[ESP_STEP_INPUT]);
  esp_rows out = esp_rows_of(c, s[ESP_STEP_OUTPUT]);
  int32_t ready = y[ESP_MAP_HEIGHT], top, from, to;
  if (out.end == ready) return 0;
  if (in.end < x[ESP_MAP_HEIGHT]) {
    const int32_t reach = in.end + pad - s[ESP_STEP_KERNEL];
    if (reach < 0) return 0;
    if (reach / stride + 1 < ready) ready = reach / stride + 1;
  }
  if (s[ESP_STEP_OTHER] >= 0) {
    const esp_rows other = esp_rows_of(c, s[ESP_STEP_OTHER]);
    if (other.end < ready) ready = other.end;
    b->other =
        (out.end - other.first) * c->maps[s[ESP_STEP_OTHER] * ESP_MAP_FIELDS + ESP_MAP_ROW_BYTES];
  }
  if (ready <= out.end) return 0;
  b->rows = esp_make_room(c, s[ESP_STEP_OUTPUT], ready - out.end);
  if (b->rows <= 0) return 0;
  out = esp_rows_of(c, s[ESP_STEP_OUTPUT]);
  top = out.end * stride - pad;
  from = top < 0 ? 0 : top;
  to = top + (b->rows - 1) * stride + s[ESP_STEP_KERNEL];
  if (to > x[ESP_MAP_HEIGHT]) to = x[ESP_MAP_HEIGHT];
  b->x = (from - in.first) * x[ESP_MAP_ROW_BYTES];
  b->y = (out.end - out.first) * y[ESP_MAP_ROW_BYTES];
  b->row = out.end;
  b->of = y[ESP_MAP_HEIGHT];
  b->in_rows = to - from;
  b->pad_top = from - top;
  out.end = (int16_t)(out.end + b->rows);
  esp_set_rows(c, s[ESP_STEP_OUTPUT], out);
  return b->rows;
}

/* Rows of a map that comes from outside, as many of them as there is room for; returns how many. */
static inline int32_t esp_take_rows(const esp_chain* c, int32_t map, const int8_t* data,
                                    int32_t count) {
  const int32_t* m = c->maps + map * ESP_MAP_FIELDS;
  esp_rows rows = esp_rows_of(c, map);
  if (count > m[ESP_MAP_HEIGHT] - rows.end) count = m[ESP_MAP_HEIGHT] - rows.end;
  count = esp_make_room(c, map, count);
  if (count <= 0) return 0;
  rows = esp_rows_of(c, map);
  if (c->arena && data) {
    esp_copy(c->arena + m[ESP_MAP_OFFSET] + (rows.end - rows.first) * m[ESP_MAP_ROW_BYTES], data,
             count * m[ESP_MAP_ROW_BYTES]);
  }
  rows.end = (int16_t)(rows.end + count);
  esp_set_rows(c, map, rows);
  return count;
}

/* Whether the memory of a map is full, or all its rows have come: the steps' turn. */
static inline int32_t esp_rows_full(const esp_chain* c, int32_t map) {
  const int32_t* m = c->maps + map * ESP_MAP_FIELDS;
  const esp_rows rows = esp_rows_of(c, map);
  return rows.end - rows.first == m[ESP_MAP_ROWS] || rows.end == m[ESP_MAP_HEIGHT];
}

static inline esp_conv esp_band_of_conv(const esp_conv* all, const esp_band* b) {
  esp_conv d = *all;
  d.in_h = (int16_t)b->in_rows;
  d.out_h = (int16_t)b->rows;
  d.pad_top = (int16_t)b->pad_top;
  return d;
}

static inline esp_pool esp_band_of_pool(const esp_pool* all, const esp_band* b) {
  esp_pool d = *all;
  d.in_h = (int16_t)b->in_rows;
  d.out_h = (int16_t)b->rows;
  d.pad_top = (int16_t)b->pad_top;
  return d;
}

static inline esp_add esp_band_of_add(const esp_add* all, const esp_band* b) {
  esp_add d = *all;
  d.elements = all->elements / b->of * b->rows;
  return d;
}

#endif
