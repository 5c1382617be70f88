#include "esp_q_blocks.h"

/* Bits that gradients of a byte may be shifted up by before they are multiplied. */
#define ESP_ROOM 16

/* A gradient through mask and factor, and the sum of it and an addend, channel by channel where
 * they have factors of their own: `dx` may be `dy` or `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_pass_gradient)(int32_t pixels, int32_t channels, const esp_q* dy,
                                         const esp_q* addend, esp_q* dx, const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 0);
  const int32_t step = target.multiplier ? channels : 1;
  esp_q_seen seen = esp_q_seen_by(sink->range);
  int32_t c;
  for (c = 0; c < step; ++c) {
    const esp_q_scaling scaling = esp_q_scaling_of(&target, addend, c, ESP_ROOM);
    esp_q_column(0, &target, &scaling, addend, 0, 0, dy, dx, c, step, c, pixels * channels / step,
                 &seen);
  }
  esp_q_note(sink->range, seen.all);
}
