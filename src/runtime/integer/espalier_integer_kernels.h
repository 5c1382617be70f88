/* Declarations of the integer gradient kernels, for 8 or 16 bits as ESP_GRADIENT_BITS says. */
#include "espalier_integer.h"

void ESP_Q(esp_bias_gradient)(int32_t pixels, int32_t channels, const esp_q* g,
                              const esp_q_parameter_sink* sink);
void ESP_Q(esp_depthwise_backward)(const esp_conv* d, const esp_q* g, const esp_weights* w,
                                   const int8_t* x, const int16_t* channels, int32_t count,
                                   const esp_q_parameter_sink* parameters, const esp_q_sink* sink,
                                   esp_q_sum* row);
void ESP_Q(esp_depthwise_input_gradient)(const esp_conv* d, const esp_q* g, const esp_weights* w,
                                         const esp_q_sink* sink);
void ESP_Q(esp_depthwise_weight_gradient)(const esp_conv* d, const esp_q* g, const int8_t* x,
                                          const int16_t* channels, int32_t count,
                                          const esp_q_parameter_sink* sink);
void ESP_Q(esp_input_gradient)(const esp_conv* d, const esp_q* g, const esp_weights* w,
                               const esp_q_sink* sink);
void ESP_Q(esp_pass_gradient)(int32_t pixels, int32_t channels, const esp_q* in,
                              const esp_q_sink* sink);
void ESP_Q(esp_pointwise_input_gradient)(const esp_conv* d, const esp_q* g, const esp_weights* w,
                                         const esp_q_sink* sink);
void ESP_Q(esp_pool_gradient)(const esp_pool* d, const esp_q* dy, const esp_q_sink* sink);
void ESP_Q(esp_quantize_gradient)(int32_t count, const float* dy, esp_q* q,
                                  int32_t* sample_exponent, int32_t stochastic, uint32_t key);
void ESP_Q(esp_weight_gradient)(const esp_conv* d, const esp_q* g, const int8_t* x,
                                const int16_t* channels, int32_t count,
                                const esp_q_parameter_sink* sink);
