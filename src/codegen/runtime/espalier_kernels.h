/* Declarations of all kernels, for the host engine. */
#ifndef ESPALIER_KERNELS_H
#define ESPALIER_KERNELS_H

#include "espalier_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

void esp_add_forward(const esp_add* d, const int8_t* a, const int8_t* b, int8_t* y, uint8_t* mask);
void esp_apply_bias(int32_t channels, const float* gradient, int32_t* bias, const float* scale,
                    const esp_sgd* sgd, uint32_t tensor);
void esp_apply_floats(int32_t count, const float* gradient, float* parameters, const esp_sgd* sgd);
void esp_apply_weights(const esp_conv* d, const int16_t* channels, int32_t count, int32_t compact,
                       const float* gradient, int8_t* weights, const float* scale,
                       const esp_sgd* sgd, uint32_t tensor);
void esp_average_pool_forward(const esp_pool* d, const int8_t* x, int8_t* y);
void esp_bias_gradient(int32_t pixels, int32_t channels, const float* g, const esp_bias_sink* sink);
void esp_conv_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                      const esp_requantization* q, int8_t* y, uint8_t* mask, int8_t* patches);
void esp_depthwise_backward(const esp_conv* d, float* g, const esp_weights* w, const int8_t* x,
                            const int16_t* channels, int32_t count, const esp_weight_sink* sink,
                            float* plane);
void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                           const esp_requantization* q, int8_t* y, uint8_t* mask, int8_t* plane);
void esp_depthwise_input_gradient(const esp_conv* d, const float* g, const esp_weights* w,
                                  float* dx, int32_t add, float* plane);
void esp_depthwise_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                                   const int16_t* channels, int32_t count,
                                   const esp_weight_sink* sink);
void esp_gradient_sum(int32_t elements, const float* a, const float* b, float* c);
void esp_head_forward(const esp_head* d, const int8_t* features, const float* weights,
                      const float* bias, float* logits);
void esp_head_gradient(const esp_head* d, const float* logit_gradient, const int8_t* features,
                       float* weights, float* bias, int32_t add);
void esp_head_input_gradient(const esp_head* d, const float* logit_gradient, const float* weights,
                             float* gradient);
void esp_head_update(const esp_head* d, const float* logit_gradient, const int8_t* features,
                     float* weights, float* bias, const esp_sgd* sgd);
void esp_input_gradient(const esp_conv* d, const float* g, const esp_weights* w, float* dx,
                        int32_t add);
void esp_loss_gradient(int32_t classes, const float* logits, int32_t label, float* gradient,
                       float* loss);
void esp_mask_scale(int32_t elements, const float* dy, const uint8_t* mask, int32_t mask_bits,
                    float factor, float* dx, int32_t add);
void esp_mask_scale_channels(int32_t pixels, int32_t channels, const float* dy, const uint8_t* mask,
                             int32_t mask_bits, const float* factor, float* g);
void esp_max_pool_forward(const esp_pool* d, const int8_t* x, int8_t* y);
void esp_pointwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                           const esp_requantization* q, int8_t* y, uint8_t* mask);
void esp_pointwise_input_gradient(const esp_conv* d, const float* g, const esp_weights* w,
                                  float* dx, int32_t add);
void esp_pool_gradient(const esp_pool* d, const float* dy, float* dx);
void esp_save_channels(const int8_t* x, int32_t pixels, int32_t in_c, const int16_t* channels,
                       int32_t count, int8_t* kept);
void esp_stream_forward(const esp_conv* d1, const int8_t* x, const esp_weights* w1,
                        const esp_requantization* q1, uint8_t* mask1, const esp_conv* d2,
                        const esp_weights* w2, const esp_requantization* q2, int8_t* y,
                        uint8_t* mask2, int8_t* rows);
void esp_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                         const int16_t* channels, int32_t count, const esp_weight_sink* sink);

#ifdef __cplusplus
}
#endif

#endif
