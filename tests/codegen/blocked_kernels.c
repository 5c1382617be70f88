/* The kernels of an overlay, the first on the path of headers, under names that end in ESP_FORM,
 * beside the plain ones. */
#ifndef ESP_FORM
#define ESP_FORM _blocked
#endif

#include "runtime/espalier_runtime.h"

#define ESP_JOIN_NAMES(name, form) name##form
#define ESP_JOIN(name, form) ESP_JOIN_NAMES(name, form)
#define ESP_NAME(name) ESP_JOIN(name, ESP_FORM)

#define esp_add_forward ESP_NAME(esp_add_forward)
#define esp_conv_forward ESP_NAME(esp_conv_forward)
#define esp_depthwise_backward ESP_NAME(esp_depthwise_backward)
#define esp_depthwise_forward ESP_NAME(esp_depthwise_forward)
#define esp_depthwise_input_gradient ESP_NAME(esp_depthwise_input_gradient)
#define esp_mask_scale_channels ESP_NAME(esp_mask_scale_channels)
#define esp_pointwise_forward ESP_NAME(esp_pointwise_forward)
#define esp_pointwise_input_gradient ESP_NAME(esp_pointwise_input_gradient)
#define esp_weight_gradient ESP_NAME(esp_weight_gradient)

#include "esp_add_forward.c"
#include "esp_conv_forward.c"
#include "esp_depthwise_backward.c"
#include "esp_depthwise_forward.c"
#include "esp_depthwise_input_gradient.c"
#include "esp_mask_scale_channels.c"
#include "esp_pointwise_forward.c"
#include "esp_pointwise_input_gradient.c"
#include "esp_weight_gradient.c"
