// Operations on 8-bit images whose results equal those of Pillow, bit for bit.
#pragma once

#include "espalier/data/dataset.hpp"

namespace espalier::data {

/// Bilinear resampling with antialiasing: a triangle filter that widens when the image shrinks,
/// columns before rows, 22-bit fixed-point weights and an 8-bit image between the two passes.
/// `image` must not be empty; height and width must be positive.
Image resize_bilinear(const Image& image, int height, int width);

/// The height x width pixels in the middle. An odd remainder of rows or columns is halved to the
/// nearest even number, as torchvision does. The image must be at least that large.
Image centre_crop(const Image& image, int height, int width);

/// Luma of an RGB image (ITU-R 601 in 16-bit fixed point); a grey image is returned as it is.
Image to_grey(const Image& image);

}  // namespace espalier::data
