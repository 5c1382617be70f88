#include "espalier_runtime.h"

/* SGD of the trained weights from their gradients. `gradient` is [out][tap][in / groups], of which
 * the channels in `channels` are applied (null: all); with `compact` it holds those alone, as
 * `weights` then does. A depthwise convolution has its channels in the place of `out`. */
ESP_KERNEL void esp_apply_weights(const esp_conv* d, const int16_t* channels, int32_t count,
                                  int32_t compact, const float* gradient, int8_t* weights,
                                  const float* scale, const esp_sgd* sgd, uint32_t tensor) {
  const int32_t taps = d->kernel_h * d->kernel_w;
  const uint32_t key = esp_tensor_key(sgd, tensor);
  int32_t o, t, j;
  if (d->groups == d->in_c && d->groups > 1) {
    const int32_t width = channels ? count : d->in_c;
    const int32_t each = taps * (d->out_c / d->groups);
    for (j = 0; j < width; ++j) {
      const int32_t c = channels ? channels[j] : j;
      for (t = 0; t < each; ++t) {
        const int32_t at = (compact ? j : c) * each + t;
        weights[at] = esp_step_weight(weights[at], gradient[at], scale[(c * each + t) / taps], sgd,
                                      key + (uint32_t)(c * each + t));
      }
    }
    return;
  }
  for (o = 0; o < d->out_c; ++o) {
    const int32_t per_group = d->in_c / d->groups;
    const int32_t first = o / (d->out_c / d->groups) * per_group;
    const int32_t width = channels ? count : per_group;
    for (t = 0; t < taps; ++t) {
      for (j = 0; j < width; ++j) {
        const int32_t c = channels ? channels[j] - first : j;
        const int32_t row = o * taps + t;
        const int32_t at = compact ? row * count + j : row * per_group + c;
        if (c < 0 || c >= per_group) continue;
        weights[at] = esp_step_weight(weights[at], gradient[at], scale[o], sgd,
                                      key + (uint32_t)(row * per_group + c));
      }
    }
  }
}
