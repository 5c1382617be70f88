#include "espalier_integer.h"

/* The gradient of the features as integers: the sample's exponent becomes the smallest that holds
 * the largest of them. What is no number makes all of them zero. */
ESP_KERNEL void ESP_Q(esp_quantize_gradient)(int32_t count, const float* dy, esp_q* quantized,
                                             esp_q_range* sample) {
  int32_t i, largest = 0;
  for (i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, dy + i, 4);
    bits &= 0x7FFFFFFFu;
    if ((int32_t)bits > largest) largest = (int32_t)bits;
  }
  /* the largest lies in [2^(e-127), 2^(e-126)) */
  largest >>= 23;
  sample->exponent = (int16_t)(largest - 126 - (ESP_GRADIENT_BITS - 1));
  for (i = 0; i < count; ++i) {
    uint32_t bits;
    int32_t e, mantissa, y;
    memcpy(&bits, dy + i, 4);
    e = (int32_t)(bits >> 23 & 255u);
    mantissa = (int32_t)(bits & 0x7FFFFFu) | (e ? 0x800000 : 0);
    if (largest == 255) mantissa = 0;
    if (bits >> 31) mantissa = -mantissa;
    /* value = mantissa * 2^(max(e, 1) - 150) */
    y = esp_q_shift(mantissa, sample->exponent - ((e ? e : 1) - 150), 0, 0);
    quantized[i] = (esp_q)(y > ESP_Q_LIMIT ? ESP_Q_LIMIT : y < -ESP_Q_LIMIT ? -ESP_Q_LIMIT : y);
  }
}
