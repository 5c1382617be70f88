/* SPDX-License-Identifier: MIT */
/* Cycles per multiply-accumulate of the kernels that Espalier emits, on shapes that show their
 * inner loops. Built by run.sh with the blocked kernels of src/runtime, with and without
 * ESP_DOT4. */
#include "espalier_io.h"
#include "espalier_runtime.h"

#define PIXELS 64 /* 8 x 8 */
#define MOST 192

void esp_pointwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                           const esp_requantization* q, int8_t* y, uint8_t* mask);
void esp_conv_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                      const esp_requantization* q, int8_t* y, uint8_t* mask, int8_t* patches);
void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                           const esp_requantization* q, int8_t* y, uint8_t* mask, int8_t* plane);
void esp_pointwise_input_gradient(const esp_conv* d, const float* g, const esp_weights* w,
                                  float* dx, int32_t add);
void esp_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                         const int16_t* channels, int32_t count, const esp_weight_sink* sink);

static int8_t weights[MOST * MOST] __attribute__((aligned(4)));
static int8_t input[PIXELS * MOST] __attribute__((aligned(4)));
static int8_t output[PIXELS * MOST];
static int8_t plane[1024] __attribute__((aligned(4))); /* as the arena is */
static float gradient[PIXELS * MOST], input_gradient[PIXELS * MOST];
static float weight_gradient[MOST * 48];
static int32_t bias[MOST], multiplier[MOST];
static uint8_t shift[MOST];

static esp_conv layer(int in_c, int out_c, int kernel, int groups) {
  esp_conv d = {8, 8, 0, 8, 8, 0, 1, 1, 1, 1, 0, 0, 1, 3, -5, -128, 127, 1};
  d.in_c = (int16_t)in_c;
  d.out_c = (int16_t)out_c;
  d.kernel_h = d.kernel_w = (int16_t)kernel;
  d.pad_top = d.pad_left = (int16_t)(kernel / 2);
  d.groups = (int16_t)groups;
  return d;
}

/* The same with stride 2, from twice the map. */
static esp_conv halving(esp_conv d, int out) {
  d.in_h = d.in_w = (int16_t)(2 * out);
  d.out_h = d.out_w = (int16_t)out;
  d.stride_h = d.stride_w = 2;
  return d;
}

static void report(const char* name, uint32_t cycles, uint32_t instructions, uint32_t macs) {
  const uint32_t values[] = {cycles, instructions};
  espalier_puts(name);
  for (int i = 0; i < 2; ++i) {
    const uint32_t hundredths = (uint32_t)((uint64_t)values[i] * 100 / macs);
    espalier_putchar(' ');
    espalier_put_unsigned(hundredths / 100);
    espalier_putchar('.');
    espalier_putchar((char)('0' + hundredths / 10 % 10));
    espalier_putchar((char)('0' + hundredths % 10));
  }
  espalier_putchar('\n');
}

#define MEASURE(name, macs, call)                                             \
  do {                                                                        \
    const uint32_t c0 = espalier_cycles(), i0 = espalier_instructions();      \
    call;                                                                     \
    report(name, espalier_cycles() - c0, espalier_instructions() - i0, macs); \
  } while (0)

int main(void) {
  const esp_weights w = {weights, 0, 0, 0};
  const esp_requantization q = {bias, multiplier, shift};
  const esp_conv deep = layer(192, 48, 1, 1), shallow = layer(48, 192, 1, 1);
  const esp_conv three = layer(48, 48, 3, 48), five = layer(48, 48, 5, 48);
  const esp_conv seven = halving(layer(48, 48, 7, 48), 8), stem = halving(layer(3, 16, 3, 1), 16);
  const esp_weight_sink sink = {weight_gradient, 0, 0, 0, 0, 0};
  for (int i = 0; i < MOST * MOST; ++i) weights[i] = (int8_t)(i * 37 % 255 - 127);
  for (int i = 0; i < PIXELS * MOST; ++i) {
    input[i] = (int8_t)(i * 29);
    gradient[i] = (float)(i % 17) - 8.0f;
  }
  for (int i = 0; i < MOST; ++i) {
    multiplier[i] = 1500000000;
    shift[i] = 40;
  }
  espalier_puts("kernel, cycles and instructions per MAC\n");
  MEASURE("pointwise_forward_K48", PIXELS * 48 * 192,
          esp_pointwise_forward(&shallow, input, &w, &q, output, 0));
  MEASURE("pointwise_forward_K192", PIXELS * 48 * 192,
          esp_pointwise_forward(&deep, input, &w, &q, output, 0));
  MEASURE("depthwise_forward_3x3", PIXELS * 48 * 9,
          esp_depthwise_forward(&three, input, &w, &q, output, 0, plane));
  MEASURE("depthwise_forward_5x5", PIXELS * 48 * 25,
          esp_depthwise_forward(&five, input, &w, &q, output, 0, plane));
  MEASURE("depthwise_forward_7x7_stride_2", PIXELS * 48 * 49,
          esp_depthwise_forward(&seven, input, &w, &q, output, 0, plane));
  MEASURE("conv_forward_3x3x3_stride_2", 16 * 16 * 16 * 27,
          esp_conv_forward(&stem, input, &w, &q, output, 0, plane));
  MEASURE("pointwise_input_gradient_48_outputs", PIXELS * 48 * 192,
          esp_pointwise_input_gradient(&deep, gradient, &w, input_gradient, 0));
  MEASURE("pointwise_input_gradient_192_outputs", PIXELS * 48 * 192,
          esp_pointwise_input_gradient(&shallow, gradient, &w, input_gradient, 0));
  MEASURE("weight_gradient", PIXELS * 48 * 192,
          esp_weight_gradient(&deep, gradient, input, 0, 0, &sink));
  return 0;
}
