/* The kernels of integer gradients of an overlay, the first on the path of headers, under names that
 * end in ESP_FORM. */
#ifndef ESP_FORM
#define ESP_FORM _blocked
#endif
#define ESP_JOIN_NAMES(name, form) name##form
#define ESP_JOIN(name, form) ESP_JOIN_NAMES(name, form)

#define esp_bias_gradient_q8 ESP_JOIN(esp_bias_gradient_q8, ESP_FORM)
#define esp_bias_gradient_q16 ESP_JOIN(esp_bias_gradient_q16, ESP_FORM)
#define esp_depthwise_backward_q8 ESP_JOIN(esp_depthwise_backward_q8, ESP_FORM)
#define esp_depthwise_backward_q16 ESP_JOIN(esp_depthwise_backward_q16, ESP_FORM)
#define esp_depthwise_input_gradient_q8 ESP_JOIN(esp_depthwise_input_gradient_q8, ESP_FORM)
#define esp_depthwise_input_gradient_q16 ESP_JOIN(esp_depthwise_input_gradient_q16, ESP_FORM)
#define esp_pass_gradient_q8 ESP_JOIN(esp_pass_gradient_q8, ESP_FORM)
#define esp_pass_gradient_q16 ESP_JOIN(esp_pass_gradient_q16, ESP_FORM)
#define esp_pointwise_input_gradient_q8 ESP_JOIN(esp_pointwise_input_gradient_q8, ESP_FORM)
#define esp_pointwise_input_gradient_q16 ESP_JOIN(esp_pointwise_input_gradient_q16, ESP_FORM)
#define esp_pool_gradient_q8 ESP_JOIN(esp_pool_gradient_q8, ESP_FORM)
#define esp_pool_gradient_q16 ESP_JOIN(esp_pool_gradient_q16, ESP_FORM)
#define esp_weight_gradient_q8 ESP_JOIN(esp_weight_gradient_q8, ESP_FORM)
#define esp_weight_gradient_q16 ESP_JOIN(esp_weight_gradient_q16, ESP_FORM)

#include "esp_bias_gradient_q.c"
#include "esp_depthwise_backward_q.c"
#include "esp_depthwise_input_gradient_q.c"
#include "esp_pass_gradient_q.c"
#include "esp_pointwise_input_gradient_q.c"
#include "esp_pool_gradient_q.c"
#include "esp_weight_gradient_q.c"
