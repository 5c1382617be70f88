#include "espalier_runtime.h"

/* exp(x) for x <= 0 by range reduction and a polynomial: a relative error of about 1e-7 and, unlike
 * a libm's, the same bits everywhere. */
static inline float esp_exp(float x) {
  float n, r, y;
  int32_t k;
  uint32_t bits;
  if (!(x > -87.0f)) return 0.0f;
  n = x * 1.44269504f - 0.5f;
  k = (int32_t)n; /* rounds towards zero: the nearest integer of x / ln 2, x <= 0 */
  n = (float)k;
  r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  bits = (uint32_t)(k + 127) << 23;
  memcpy(&n, &bits, sizeof n);
  return y * n;
}

/* log(x) for finite x >= 1. */
static inline float esp_log(float x) {
  uint32_t bits;
  int32_t k;
  float m, s, z, y;
  memcpy(&bits, &x, sizeof bits);
  k = (int32_t)(bits >> 23) - 127;
  bits = (bits & 0x007FFFFFu) | 0x3F800000u;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.41421356f) {
    m = m * 0.5f;
    ++k;
  }
  /* log(m) = 2 atanh(s), s = (m - 1) / (m + 1) */
  s = (m - 1.0f) / (m + 1.0f);
  z = s * s;
  y = 0.2222222222f;
  y = y * z + 0.2857142857f;
  y = y * z + 0.4f;
  y = y * z + 0.6666666667f;
  y = y * z + 2.0f;
  return (float)k * 0.693147181f + s * y;
}

/* Cross entropy of the softmax and its gradient with respect to the logits: the probabilities, and
 * for the label minus the sum of the others', which near 1 is exact where p - 1 would not be.
 * Logits that are not numbers give a loss that is none either and no gradient. */
ESP_KERNEL void esp_loss_gradient(int32_t classes, const float* logits, int32_t label,
                                  float* gradient, float* loss) {
  float best = logits[0], sum = 0.0f, others = 0.0f;
  int32_t k;
  for (k = 1; k < classes; ++k) {
    if (logits[k] > best) best = logits[k];
  }
  for (k = 0; k < classes; ++k) {
    gradient[k] = esp_exp(logits[k] - best);
    if (k != label) others += gradient[k];
  }
  sum = others + gradient[label];
  if (!(sum >= 1.0f)) {
    for (k = 0; k < classes; ++k) gradient[k] = 0.0f;
    *loss = logits[label] - logits[label] + best;
    return;
  }
  for (k = 0; k < classes; ++k) gradient[k] = gradient[k] / sum;
  gradient[label] = -(others / sum);
  *loss = esp_log(sum) + (best - logits[label]);
}
