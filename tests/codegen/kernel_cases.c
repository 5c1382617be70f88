/* Every kernel of an overlay against the plain one of its name, bit for bit, on random layers: odd
 * extents, strides and paddings, wide maps, dead channels, partly trained weights, every kind of
 * mask, bytes that do not lie on word boundaries. Host and core run this one list. Buffers have the
 * sizes that the compiler plans and are blocks of their own: nothing around them may change, and
 * under AddressSanitizer nothing may be read. */
#include "kernel_cases.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/blocked/esp_blocking.h"
#include "runtime/espalier_kernels.h"
#include "runtime/espalier_scratch.h"

/* ---- The forms ------------------------------------------------------------------------------ */

/* Those of Arm's instructions as the C that they are elsewhere; the core has no use for them. */
#ifndef __riscv
#define ARM_FORMS
#endif

#define ESPALIER_BLOCKED_KERNEL(name) \
  extern __typeof__(esp_##name) esp_##name##_blocked, esp_##name##_dot_product, esp_##name##_lwdot;
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
#ifdef ARM_FORMS
#define ESPALIER_BLOCKED_KERNEL(name) \
  extern __typeof__(esp_##name) esp_##name##_armdsp, esp_##name##_mve;
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
#endif

typedef struct {
  const char* name;
#define ESPALIER_BLOCKED_KERNEL(name) __typeof__(esp_##name)* name;
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
} kernel_form;

static const kernel_form forms[] = {
    {
        "plain",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
    {
        "blocked",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name##_blocked,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
    {
        "dot product",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name##_dot_product,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
    {
        "lwdot",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name##_lwdot,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
#ifdef ARM_FORMS
    {
        "armdsp",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name##_armdsp,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
    {
        "mve",
#define ESPALIER_BLOCKED_KERNEL(name) esp_##name##_mve,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
    },
#endif
};
#define FORMS ((int32_t)(sizeof forms / sizeof *forms))

/* ---- Random numbers ------------------------------------------------------------------------- */

static uint32_t key, drawn;
static int32_t few; /* layers are small */

static uint32_t draw(void) { return esp_mix(key + drawn++ * 0x9E3779B9u); }

/* Both ends included. */
static int32_t between(int32_t low, int32_t high) {
  return low + (int32_t)(draw() % (uint32_t)(high - low + 1));
}

static int32_t chance(int32_t per_cent) { return between(0, 99) < per_cent; }

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

/* ---- Buffers -------------------------------------------------------------------------------- */

/* Bytes in front of and behind a buffer that are watched for writes. AddressSanitizer watches
 * better, and reads as well, when blocks end where buffers do. */
#ifdef __SANITIZE_ADDRESS__
#define GUARD 0
#else
#define GUARD 16
#endif
#define GUARD_VALUE 0xA5

typedef struct {
  const char* name;
  uint8_t *block, *data;
  uint8_t* initial;  /* what every form finds */
  uint8_t* expected; /* what the plain form leaves; null for scratch memory */
  int32_t bytes, front;
} buffer;

static buffer buffers[24];
static int32_t buffer_count;
static char failure[96];

static void* allocate(int32_t bytes) {
  void* block = malloc((size_t)bytes);
  if (!block) __builtin_trap();
  return block;
}

/* `bytes` bytes, `skew` past a boundary of eight; its contents are compared unless it is scratch.
 */
static void* new_buffer(const char* name, int32_t bytes, int32_t skew, int32_t scratch) {
  buffer* b = &buffers[buffer_count++];
  if (buffer_count > 24) __builtin_trap();
  b->name = name;
  b->bytes = bytes;
  b->front = GUARD + skew;
  b->block = allocate(b->front + bytes + GUARD);
  b->data = b->block + b->front;
  memset(b->block, GUARD_VALUE, (size_t)(b->front + bytes + GUARD));
  memset(b->data, 0x5A, (size_t)bytes);
  b->initial = allocate(bytes);
  b->expected = scratch ? 0 : allocate(bytes);
  return b->data;
}

/* On a word boundary, as the arena's values are, which need not be one of eight bytes. */
static int32_t word_skew(void) { return chance(50) ? 4 : 0; }
/* Off it now and then. */
static int32_t byte_skew(void) { return chance(25) ? between(1, 7) : word_skew(); }

static void fail(const kernel_form* form, const char* name, const char* what) {
  if (failure[0]) return;
  strcpy(failure, form->name);
  strcat(failure, ": ");
  strcat(failure, name);
  strcat(failure, what);
}

static int32_t is_guarded(const uint8_t* guard, int32_t bytes) {
  int32_t i;
  for (i = 0; i < bytes; ++i) {
    if (guard[i] != GUARD_VALUE) return 0;
  }
  return 1;
}

/* The loop over the forms: for (f = first_form(); f != last_form; f = next_form(f)). */
static const kernel_form* const last_form = forms + FORMS;

static const kernel_form* first_form(void) {
  int32_t i;
  for (i = 0; i < buffer_count; ++i) {
    memcpy(buffers[i].initial, buffers[i].data, (size_t)buffers[i].bytes);
  }
  return forms;
}

static const kernel_form* next_form(const kernel_form* form) {
  int32_t i;
  for (i = 0; i < buffer_count; ++i) {
    const buffer* b = &buffers[i];
    const size_t bytes = (size_t)b->bytes;
    if (!is_guarded(b->block, b->front) || !is_guarded(b->data + bytes, GUARD)) {
      fail(form, b->name, " is left");
    }
    if (b->expected && form == forms) {
      memcpy(b->expected, b->data, bytes);
    } else if (b->expected && memcmp(b->expected, b->data, bytes) != 0) {
      fail(form, b->name, " differs");
    }
    memcpy(b->data, b->initial, bytes);
  }
  return form + 1;
}

static void free_buffers(void) {
  while (buffer_count > 0) {
    const buffer* b = &buffers[--buffer_count];
    free(b->block);
    free(b->initial);
    free(b->expected);
  }
}

/* ---- Values --------------------------------------------------------------------------------- */

static int8_t* new_int8(const char* name, int32_t count, int32_t skew, int32_t low) {
  int8_t* values = new_buffer(name, count, skew, 0);
  const int32_t extreme = chance(10);
  uint32_t bits = 0;
  int32_t i;
  for (i = 0; i < count; ++i, bits >>= 8) {
    int32_t v;
    if (!(i & 3)) bits = draw();
    v = (int8_t)bits;
    if (extreme) v = v < 0 ? low : 127;
    values[i] = (int8_t)most(v, low);
  }
  return values;
}

/* With zeros of both signs, as masks leave them. */
static float* new_floats(const char* name, int32_t count) {
  float* values = new_buffer(name, 4 * count, word_skew(), 0);
  int32_t i;
  for (i = 0; i < count; ++i) {
    const uint32_t bits = draw();
    values[i] = (float)(int32_t)bits * 4.656612873077392578125e-10f; /* 2^-31 */
    if (!(bits & 7)) values[i] *= 0.0f;
  }
  return values;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Steps beyond what an int32 holds, infinite ones and what is not a number. */
static float special(void) {
  static const uint32_t bits[] = {
      0x4B800000u, 0xCB800000u, 0x4E800000u, 0xCE800000u, /* +-2^24, +-2^30 */
      0x7F7FFFFFu, 0xFF7FFFFFu, 0x7F800000u, 0xFF800000u, /* the largest, infinities */
      0x7FC00000u, 0x00000001u,
  };
  return float_of(bits[between(0, 9)]);
}

/* ---- Layers --------------------------------------------------------------------------------- */

/* A convolution with all its numbers. */
typedef struct {
  esp_conv d;
  esp_weights w;
  esp_requantization q;
} layer;

static int32_t pixels_in(const layer* l) { return l->d.in_h * l->d.in_w; }
static int32_t pixels_out(const layer* l) { return l->d.out_h * l->d.out_w; }
static int32_t taps_of(const layer* l) { return l->d.kernel_h * l->d.kernel_w; }

/* Multiples of four now and then, as the fast paths want them. */
static int16_t some_channels(int32_t highest) {
  if (few && highest > 8) highest /= 2;
  return (int16_t)(chance(50) ? 4 * between(1, highest / 4) : between(1, highest));
}

static void extent(int16_t* in, int16_t* out, int16_t* pad, int32_t kernel, int32_t stride,
                   int32_t wide) {
  const int32_t before = between(0, kernel - 1), after = between(0, kernel - 1);
  int32_t size = wide ? between(60, few ? 80 : 140) * stride : between(1, few ? 6 : 13);
  size = most(size, most(kernel - before - after, 1));
  *pad = (int16_t)before;
  *in = (int16_t)size;
  *out = (int16_t)((size + before + after - kernel) / stride + 1);
}

static void spread_window(esp_conv* d, int32_t kernel_h, int32_t kernel_w, int32_t stride_h,
                          int32_t stride_w, int32_t gap_h, int32_t gap_w, int32_t wide) {
  d->kernel_h = (int16_t)kernel_h;
  d->kernel_w = (int16_t)kernel_w;
  d->stride_h = (int16_t)stride_h;
  d->stride_w = (int16_t)stride_w;
  d->gap_h = (int16_t)gap_h;
  d->gap_w = (int16_t)gap_w;
  extent(&d->in_h, &d->out_h, &d->pad_top, kernel_h + (kernel_h - 1) * gap_h, stride_h, 0);
  extent(&d->in_w, &d->out_w, &d->pad_left, kernel_w + (kernel_w - 1) * gap_w, stride_w, wide);
}

static void window(esp_conv* d, int32_t kernel_h, int32_t kernel_w, int32_t stride_h,
                   int32_t stride_w, int32_t wide) {
  spread_window(d, kernel_h, kernel_w, stride_h, stride_w, 0, 0, wide);
}

/* Dilated now and then. */
static void general_window(esp_conv* d, int32_t kernel_h, int32_t kernel_w) {
  const int32_t gap_h = chance(70) ? 0 : between(1, 3), gap_w = chance(70) ? 0 : between(1, 3);
  spread_window(d, kernel_h, kernel_w, between(1, 3), between(1, 3), gap_h, gap_w, 0);
}

/* Same padding, stride 1. */
static void same_window(esp_conv* d, int32_t kernel, int32_t wide) {
  d->kernel_h = d->kernel_w = (int16_t)kernel;
  d->stride_h = d->stride_w = 1;
  d->gap_h = d->gap_w = 0;
  d->pad_top = (int16_t)between(0, kernel - 1);
  d->pad_left = (int16_t)between(0, kernel - 1);
  d->in_h = d->out_h = (int16_t)between(wide ? 6 : 1, few && !wide ? 6 : 11);
  d->in_w = d->out_w = (int16_t)(wide ? between(60, few ? 80 : 200) : between(1, few ? 6 : 11));
}

/* Kernels of 3, 5 and 7 more often than others; now and then a map wider than what is summed at a
 * time. */
static void depthwise_layer(layer* l, int32_t same) {
  static const int8_t kernels[] = {1, 2, 3, 3, 3, 5, 5, 7, 7, 4, 9};
  const int32_t wide = chance(few ? 20 : 10);
  esp_conv* d = &l->d;
  d->in_c = d->out_c = d->groups = (int16_t)between(2, wide || few ? 3 : 12);
  if (same) {
    same_window(d, kernels[between(1, 4) * 2], wide); /* 3, 3, 5 or 7 */
    if (chance(20)) same_window(d, kernels[between(0, 10)], wide);
  } else {
    const int32_t kernel = kernels[between(0, 10)], s = between(1, 10);
    const int32_t stride = s < 6 ? 1 : s < 10 ? 2 : 3;
    window(d, kernel, chance(90) ? kernel : between(1, 7), stride, chance(90) ? stride : 1, wide);
  }
}

/* Channels to train, some or none. */
static int32_t choose_channels(int32_t in_c, int16_t* chosen) {
  int32_t c, count = 0;
  for (c = 0; c < in_c; ++c) {
    if (chance(40)) chosen[count++] = (int16_t)c;
  }
  return count;
}

/* Weights, biases and requantisation for channels and window already set; of which `sliced` per
 * cent have some weights trained. */
static void numbers(layer* l, int32_t sliced) {
  static int16_t chosen[512];
  esp_conv* d = &l->d;
  const int32_t per_group = d->in_c / d->groups, taps = taps_of(l);
  const int32_t depthwise = per_group == 1 && d->groups > 1;
  const int32_t dead = chance(30), odd = chance(20);
  int32_t o, j, row;
  int8_t* full;
  int32_t *bias, *multiplier;
  uint8_t* shift;
  d->in_zero = (int16_t)between(-128, 127);
  d->out_zero = (int16_t)between(-128, 127);
  d->low = (int16_t)(chance(50) ? -128 : between(-128, 20));
  d->high = (int16_t)(chance(50) ? 127 : between(d->low, 127));
  full = new_int8("weights", d->out_c * taps * per_group, byte_skew(), -127);
  memset(&l->w, 0, sizeof l->w);
  l->w.full = full;
  if ((depthwise || d->groups == 1) && chance(sliced)) {
    const int32_t count = choose_channels(d->in_c, chosen);
    int16_t* channels = new_buffer("channels", 2 * count, word_skew(), 0);
    memcpy(channels, chosen, (size_t)(2 * count));
    l->w.channels = channels;
    l->w.count = count;
    l->w.trained =
        new_int8("trained weights", count * taps * (depthwise ? 1 : d->out_c), word_skew(), -127);
    for (j = 0; j < count; ++j) {
      if (depthwise) {
        memset(full + channels[j] * taps, 0, (size_t)taps);
      } else {
        for (row = 0; row < d->out_c * taps; ++row) full[row * per_group + channels[j]] = 0;
      }
    }
  }
  bias = new_buffer("bias", 4 * d->out_c, word_skew(), 0);
  multiplier = new_buffer("multiplier", 4 * d->out_c, word_skew(), 0);
  shift = new_buffer("shift", d->out_c, word_skew(), 0);
  for (o = 0; o < d->out_c; ++o) {
    bias[o] = between(-20000, 20000);
    multiplier[o] = between(1 << 30, INT32_MAX);
    shift[o] = (uint8_t)between(36, 42);
    if (dead && chance(40)) {
      bias[o] = chance(50) ? INT32_MIN : INT32_MAX;
      if (chance(50)) bias[o] ^= between(0, 1 << 24);
    }
    if (odd && chance(30)) shift[o] = (uint8_t)between(1, 60);
    if (odd && chance(10)) multiplier[o] = 0;
  }
  l->q.bias = bias;
  l->q.multiplier = multiplier;
  l->q.shift = shift;
}

/* None, bytes or bits. */
static uint8_t* new_mask(const char* name, esp_conv* d, int32_t elements) {
  d->mask_bits = (int16_t)chance(50);
  if (chance(40)) return 0;
  return new_buffer(name, d->mask_bits ? (elements + 7) / 8 : elements, word_skew(), 0);
}

/* Depths at which the gathered channels no longer fit among the others. */
static void pointwise_layer(layer* l, int32_t deepest, int32_t outputs) {
  esp_conv* d = &l->d;
  const int32_t deep = deepest > 64 && chance(15);
  d->groups = 1;
  d->in_c = deep ? (int16_t)(chance(70) ? 4 * between(17, deepest / 4) : between(65, deepest))
                 : some_channels(least(deepest, 64));
  d->out_c = some_channels(deep ? 8 : outputs);
  same_window(d, 1, 0);
  if (deep) d->in_h = d->out_h = (int16_t)between(1, 2);
  numbers(l, deep ? 70 : 40);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static void run_pointwise_forward(void) {
  const kernel_form* f;
  layer l;
  int8_t *x, *y;
  uint8_t* mask;
  int32_t elements;
  pointwise_layer(&l, 260, 24);
  elements = pixels_out(&l) * l.d.out_c;
  x = new_int8("x", pixels_in(&l) * l.d.in_c, byte_skew(), -128);
  y = new_buffer("y", elements, byte_skew(), 0);
  mask = new_mask("mask", &l.d, elements);
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->pointwise_forward(&l.d, x, &l.w, &l.q, y, mask);
  }
}

static void run_conv_forward(void) {
  const kernel_form* f;
  layer l;
  esp_conv* d = &l.d;
  int8_t *x, *y, *patches;
  uint8_t* mask;
  int32_t elements, kernel = between(1, 5);
  d->groups = 1;
  d->in_c = some_channels(12);
  d->out_c = some_channels(24);
  if (chance(20)) {
    d->groups = (int16_t)between(1, 4);
    d->in_c = (int16_t)(d->groups * between(1, 3));
    d->out_c = (int16_t)(d->groups * between(1, 3));
  }
  general_window(d, kernel, chance(80) ? kernel : between(1, 5));
  /* a depthwise convolution with some of its channels trained has a kernel of its own */
  numbers(&l, d->groups > 1 ? 0 : 30);
  elements = pixels_out(&l) * d->out_c;
  x = new_int8("x", pixels_in(&l) * d->in_c, byte_skew(), -128);
  y = new_buffer("y", elements, byte_skew(), 0);
  mask = new_mask("mask", d, elements);
  /* the compiler plans none for groups */
  patches = d->groups == 1 ? new_buffer("patches", 4 * taps_of(&l) * d->in_c, byte_skew(), 1) : 0;
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->conv_forward(d, x, &l.w, &l.q, y, mask, patches);
  }
}

static void run_depthwise_forward(void) {
  const kernel_form* f;
  layer l;
  esp_conv* d = &l.d;
  const int32_t in_place = chance(40);
  int8_t *x, *y, *plane;
  uint8_t* mask;
  int32_t elements;
  depthwise_layer(&l, in_place);
  numbers(&l, 40);
  elements = pixels_out(&l) * d->out_c;
  x = new_int8("x", pixels_in(&l) * d->in_c, byte_skew(), -128);
  y = in_place ? x : new_buffer("y", elements, byte_skew(), 0);
  mask = new_mask("mask", d, elements);
  plane =
      new_buffer("plane",
                 esp_plane_extent(d->in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w) *
                         esp_plane_extent(d->in_h, d->pad_top, d->out_h, d->stride_h, d->kernel_h) +
                     ESP_PLANE_SLACK,
                 chance(50) ? between(0, 3) : word_skew(), 1);
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->depthwise_forward(d, x, &l.w, &l.q, y, mask, plane);
  }
}

static void run_pointwise_input_gradient(void) {
  const kernel_form* f;
  const int32_t add = chance(50);
  layer l;
  float *g, *dx;
  pointwise_layer(&l, 24, 24);
  g = new_floats("g", pixels_out(&l) * l.d.out_c);
  dx = new_floats("dx", pixels_in(&l) * l.d.in_c);
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->pointwise_input_gradient(&l.d, g, &l.w, dx, add);
  }
}

static void run_depthwise_input_gradient(void) {
  const kernel_form* f;
  const int32_t add = chance(50);
  layer l;
  esp_conv* d = &l.d;
  float *g, *dx, *plane;
  depthwise_layer(&l, 0);
  numbers(&l, 40);
  g = new_floats("g", pixels_out(&l) * d->out_c);
  dx = new_floats("dx", pixels_in(&l) * d->in_c);
  plane = new_buffer("plane", (int32_t)esp_depthwise_input_gradient_scratch(d), word_skew(), 1);
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->depthwise_input_gradient(d, g, &l.w, dx, add, plane);
  }
}

static void run_mask_scale_channels(void) {
  const kernel_form* f;
  const int32_t pixels = between(1, 9), bits = chance(70), in_place = chance(50);
  const int32_t channels = chance(50) ? 8 * between(1, 4) : between(1, 30);
  const int32_t elements = pixels * channels;
  const float* factor = new_floats("factor", channels);
  float* g = new_floats("g", elements);
  float* dy = in_place ? g : new_floats("dy", elements);
  uint8_t* mask =
      (uint8_t*)new_int8("mask", bits ? (elements + 7) / 8 : elements, byte_skew(), -128);
  int32_t i;
  for (i = 0; !bits && i < elements; ++i) mask[i] &= 1;
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->mask_scale_channels(pixels, channels, dy, mask, bits, factor, g);
  }
}

/* A sum of two maps, in place or not, or one map rescaled. */
static void run_add_forward(void) {
  const kernel_form* f;
  esp_add d;
  const int32_t both = chance(70), ends = between(-128, 127), other = between(-128, 127);
  int8_t *a, *b, *y;
  uint8_t* mask = 0;
  memset(&d, 0, sizeof d);
  d.elements = between(1, 300);
  d.a_zero = (int16_t)between(-128, 127);
  d.b_zero = (int16_t)between(-128, 127);
  d.out_zero = (int16_t)between(-128, 127);
  d.low = (int16_t)(ends < other ? ends : other);
  d.high = (int16_t)(ends < other ? other : ends);
  d.a_multiplier = (int32_t)(draw() >> (1 + between(0, 9)));
  d.b_multiplier = (int32_t)(draw() >> (1 + between(0, 9)));
  if (chance(10)) d.a_multiplier = INT32_MAX;
  /* nearly always what the sums of products of 31 bits need */
  d.shift = chance(90) ? between(24, 44) : between(1, 62);
  d.mask_bits = chance(70);
  a = new_int8("a", d.elements, byte_skew(), -128);
  b = both ? new_int8("b", d.elements, byte_skew(), -128) : 0;
  y = chance(30) ? a : both && chance(30) ? b : new_int8("y", d.elements, byte_skew(), -128);
  if (chance(50)) {
    const int32_t bytes = d.mask_bits ? (d.elements + 7) / 8 : d.elements;
    mask = (uint8_t*)new_int8("mask", bytes, byte_skew(), -128);
  }
  for (f = first_form(); f != last_form; f = next_form(f)) f->add_forward(&d, a, b, y, mask);
}

/* Where a weight gradient goes: stored, added, or applied at once. */
typedef struct {
  esp_weight_sink view;
  esp_sgd sgd;
  float* scale;
} weight_sink;

static void new_sink(weight_sink* sink, int32_t count, int32_t out_c) {
  const int32_t kind = between(0, 3);
  memset(sink, 0, sizeof *sink);
  if (kind < 2) {
    sink->view.gradient = new_floats("gradient", count);
    sink->view.add = kind;
    return;
  }
  sink->scale = new_floats("scale", out_c);
  sink->sgd = esp_sgd_of((float)between(1, 1000) * 0.01f, draw(), 0, chance(70),
                         chance(30) ? between(1, 9) : 0);
  sink->view.weights = new_int8("stepped weights", count, byte_skew(), -127);
  sink->view.scale = sink->scale;
  sink->view.sgd = &sink->sgd;
  sink->view.tensor = 7;
}

/* Makes some of the values special; gradients that are stored would not compare by bits then. */
static void make_special(float* values, int32_t count, int32_t per_cent) {
  int32_t i;
  for (i = 0; i < count; ++i) {
    if (chance(per_cent)) values[i] = special();
  }
}

static void run_depthwise_backward(void) {
  const kernel_form* f;
  layer l;
  esp_conv* d = &l.d;
  const int32_t with_weights = chance(70);
  int32_t width;
  int8_t* x = 0;
  float *g, *plane;
  weight_sink sink;
  depthwise_layer(&l, 1);
  numbers(&l, 40);
  g = new_floats("g", pixels_in(&l) * d->in_c);
  /* all channels, or those whose weights lie apart */
  width = l.w.count ? l.w.count : d->in_c;
  if (with_weights) {
    x = new_int8("x", pixels_in(&l) * width, byte_skew(), -128);
    new_sink(&sink, width * taps_of(&l), d->out_c);
    if (sink.scale && chance(30)) make_special(sink.scale, d->out_c, 30);
  }
  plane = new_buffer("plane", (int32_t)esp_depthwise_backward_scratch(d), word_skew(), 1);
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->depthwise_backward(d, g, &l.w, x, l.w.count ? l.w.channels : 0, l.w.count,
                          with_weights ? &sink.view : 0, plane);
  }
}

static void run_weight_gradient(void) {
  const kernel_form* f;
  layer l;
  esp_conv* d = &l.d;
  int32_t width, inputs, outputs, i;
  int8_t* x;
  float* g;
  weight_sink sink;
  d->groups = 1;
  d->in_c = some_channels(16);
  d->out_c = some_channels(20);
  if (chance(60)) {
    same_window(d, 1, 0);
  } else {
    if (chance(30)) {
      d->groups = (int16_t)between(1, 3);
      d->in_c = (int16_t)(d->groups * between(1, 6));
      d->out_c = (int16_t)(d->groups * between(1, 9));
    }
    general_window(d, between(1, 4), between(1, 4));
  }
  numbers(&l, d->groups > 1 ? 0 : 40);
  width = l.w.count ? l.w.count : d->in_c / d->groups;
  inputs = pixels_in(&l) * (l.w.count ? width : d->in_c);
  outputs = pixels_out(&l) * d->out_c;
  x = new_int8("x", inputs, byte_skew(), -128);
  g = new_floats("g", outputs);
  new_sink(&sink, d->out_c * taps_of(&l) * width, d->out_c);
  if (sink.scale && chance(20)) {
    /* steps of exactly 2^30 and around it, and beyond 2^31, beside small ones */
    static const int8_t values[] = {63, 64, 65, -63, -64, -65, 127, -128, 0, 1, 2, -3};
    sink.sgd.rate = 1.0f;
    d->in_zero = 0;
    for (i = 0; i < inputs; ++i) x[i] = values[between(0, 11)];
    for (i = 0; i < outputs; ++i) g[i] = i < d->out_c ? chance(50) ? 1.0f : -1.0f : 0.0f;
    for (i = 0; i < d->out_c; ++i) sink.scale[i] = chance(50) ? 16777216.0f : 33554432.0f;
  } else if (sink.scale && chance(30)) {
    make_special(sink.scale, d->out_c, 40);
    if (chance(50)) make_special(g, outputs, 10);
  }
  for (f = first_form(); f != last_form; f = next_form(f)) {
    f->weight_gradient(d, g, x, l.w.count ? l.w.channels : 0, l.w.count, &sink.view);
  }
}

/* ---- The list ------------------------------------------------------------------------------- */

static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
#define ESPALIER_BLOCKED_KERNEL(name) {#name, run_##name},
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
};

const char* kernel_case_name(int32_t kernel) {
  return kernel < (int32_t)(sizeof cases / sizeof *cases) ? cases[kernel].name : 0;
}

const char* kernel_case_run(int32_t kernel, uint32_t seed, int32_t small) {
  key = esp_mix(seed * 16u + (uint32_t)kernel);
  drawn = 0;
  few = small;
  failure[0] = 0;
  cases[kernel].run();
  free_buffers();
  return failure[0] ? failure : 0;
}
