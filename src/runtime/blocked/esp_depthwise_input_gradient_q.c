#include "esp_q_channel.h"
#include "esp_words.h"

/* Bytes of a channel with its zeros, and the extents of filters and strides, at most. */
#define ESP_CHANNEL 1536
#define ESP_EXTENT 7
#define ESP_STRIDE 4

/* Along one axis, the inputs a stride apart from one on: how many, the first output that their
 * windows meet, and the taps that do so: the first, and how many. */
typedef struct {
  int32_t count, from, tap, taps;
} esp_phase;

/* Fills in all phases of an axis; what they meet together is [*low, *high). */
ESP_INLINE void esp_phases_of(int32_t in, int32_t pad, int32_t stride, int32_t kernel,
                              esp_phase* phases, int32_t* low, int32_t* high) {
  int32_t i;
  *low = INT32_MAX, *high = INT32_MIN;
  for (i = 0; i < stride && i < in; ++i, ++phases) {
    int32_t end;
    phases->count = (in - i + stride - 1) / stride;
    phases->tap = (i + pad) % stride;
    phases->taps = (kernel - phases->tap + stride - 1) / stride;
    phases->from = (i + pad) / stride - phases->taps + 1;
    end = phases->from + phases->taps + phases->count - 1;
    if (phases->from < *low) *low = phases->from;
    if (end > *high) *high = end;
  }
}

/* One channel, tap by tap. */
ESP_INLINE void esp_q_strided_channel(const esp_conv* d, const esp_q* g, const int8_t* weights,
                                      const esp_q_target* target, const esp_q* addend, esp_q* dx,
                                      int32_t c, esp_q_seen* seen) {
  const int32_t channels = d->in_c;
  int32_t iy, ix, ky, kx;
  for (iy = 0; iy < d->in_h; ++iy) {
    const int32_t last_y = (iy + d->pad_top) / d->stride_h;
    for (ix = 0; ix < d->in_w; ++ix) {
      const int32_t last_x = (ix + d->pad_left) / d->stride_w,
                    i = (iy * d->in_w + ix) * channels + c;
      int32_t oy = last_y;
      esp_q_sum sum = 0;
      for (ky = iy + d->pad_top - last_y * d->stride_h; ky < d->kernel_h && oy >= 0;
           ky += d->stride_h, --oy) {
        int32_t ox = last_x;
        if (oy >= d->out_h) continue;
        for (kx = ix + d->pad_left - last_x * d->stride_w; kx < d->kernel_w && ox >= 0;
             kx += d->stride_w, --ox) {
          if (ox >= d->out_w) continue;
          sum += (esp_q_sum)g[(oy * d->out_w + ox) * channels + c] * weights[ky * d->kernel_w + kx];
        }
      }
      dx[i] = esp_q_value(target, addend, i, c, sum, &seen->all);
    }
  }
}

/* dL/dx of a depthwise convolution; `dx` may be `addend`, which may be null. Inputs a stride apart
 * meet the same taps: theirs is the correlation of a channel of g with these. In a row all such
 * filters are as wide and begin at the same column, with zeros where they need none. */
ESP_KERNEL void ESP_Q(esp_depthwise_input_gradient)(const esp_conv* d, const esp_q* g,
                                                    const esp_weights* w, const esp_q* addend,
                                                    esp_q* dx, const esp_q_sink* sink) {
  const int32_t taps = d->kernel_h * d->kernel_w, channels = d->in_c, in_w = d->in_w;
  const int32_t sh = d->stride_h, sw = d->stride_w;
  const esp_q_target target = esp_q_target_of(sink, 0);
  esp_phase down[ESP_STRIDE], right[ESP_STRIDE];
  uint32_t room[ESP_CHANNEL / 4];
  int8_t flipped[ESP_EXTENT * ESP_EXTENT];
  esp_q_sum sums[ESP_SUMS];
  esp_q_seen seen = esp_q_seen_by(sink->range);
  esp_q* plane = (esp_q*)room;
  int32_t fits = d->kernel_h <= ESP_EXTENT && d->kernel_w <= ESP_EXTENT && sh <= ESP_STRIDE &&
                 sw <= ESP_STRIDE;
  int32_t top = 0, end = 0, left = 0, edge = 0, width = 0, most = 0, pitch = 0, batch = 1;
  int32_t c, i, k, y, x, next = 0;
  esp_q_channel by;
  esp_q_span span;
#ifdef ESP_DOT4
  uint32_t spread[ESP_SPREAD_WORDS];
#else
  const uint32_t* spread = 0;
#endif
  if (fits) {
    esp_phases_of(d->in_h, d->pad_top, sh, d->kernel_h, down, &top, &end);
    esp_phases_of(in_w, d->pad_left, sw, d->kernel_w, right, &left, &edge);
    for (k = 0; k < sw && k < in_w; ++k) {
      const int32_t reach = right[k].from - left + right[k].taps;
      if (reach > width) width = reach;
    }
    width = width <= 3 ? 3 : width <= 5 ? 5 : ESP_EXTENT;
    most = (right[0].count + 3) & ~3;
    pitch = (most + width - 1 + 3) & ~3;
    batch = most <= ESP_SUMS ? ESP_SUMS / most : 0;
    fits = batch > 0 &&
           (int32_t)sizeof room >= ((end - top) * pitch + ESP_PLANE_SLACK) * (int32_t)sizeof *plane;
    esp_fill(room, 0, (int32_t)sizeof room);
  }
  by.flipped = flipped, by.pitch = pitch, by.kernel_w = width, by.dot = ESP_Q_BYTES,
  by.above = by.height = 0;
  span.step = sw * channels, span.pitch = sh * in_w * channels;
  for (c = 0; c < channels; ++c) {
    const esp_q_scaling scaling = esp_q_scaling_of(&target, addend, c, 0);
    const int32_t first = left > 0 ? left : 0;
    const int32_t last = left + pitch < d->out_w ? left + pitch : d->out_w;
    const int8_t* weights = w->full + c * taps;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    if (!fits) {
      esp_q_strided_channel(d, g, weights, &target, addend, dx, c, &seen);
      continue;
    }
    y = top > 0 ? top : 0;
    esp_q_gather(g + (y * d->out_w + first) * channels + c, channels,
                 (d->out_w - last + first) * channels, (end < d->out_h ? end : d->out_h) - y,
                 last - first, plane + (y - top) * pitch + (first - left), pitch);
    for (i = 0; i < sh && i < d->in_h; ++i) {
      by.kernel_h = down[i].taps;
      by.plane = plane + (down[i].from - top) * pitch;
      for (k = 0; k < sw && k < in_w; ++k) {
        const int32_t count = right[k].count;
        int8_t* row = flipped + (right[k].from - left);
        esp_fill(flipped, 0, (int32_t)sizeof flipped);
        for (y = down[i].taps - 1; y >= 0; --y, row += width) {
          const int8_t* tap = weights + (down[i].tap + y * sh) * d->kernel_w + right[k].tap;
          for (x = right[k].taps - 1; x >= 0; --x, tap += sw) row[x] = *tap;
        }
#ifdef ESP_DOT4
        if (by.dot) {
          esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
          f.weights = flipped;
          esp_spread_kind(&f, 16 + width, down[i].taps, 1, spread);
        }
#endif
        for (y = 0; y < down[i].count; y += batch) {
          const int32_t rows = down[i].count - y < batch ? down[i].count - y : batch;
          esp_q_channel_sums(&by, y, 0, rows, count, spread, sums);
          span.rows = rows, span.count = count, span.sum_pitch = by.dot ? (count + 3) & ~3 : count;
          esp_q_sum_rows(&target, &scaling, addend, sums, dx,
                         ((i + y * sh) * in_w + k) * channels + c, c, span, &seen);
        }
      }
    }
  }
  esp_q_note(sink->range, seen.all);
}
