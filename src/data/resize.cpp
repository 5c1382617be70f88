#include "espalier/data/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace espalier::data {
namespace {

// 8 bits of pixel, 2 bits of head room and these make 32.
constexpr int kWeightBits = 22;

// The input pixels that one output pixel is made of, with their fixed-point weights.
struct Footprint {
  int first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Footprint> triangle_filter(int in_size, int out_size) {
  const double ratio = static_cast<double>(in_size) / out_size;
  const double radius = std::max(ratio, 1.0);
  const double inverse_radius = 1.0 / radius;
  std::vector<Footprint> footprints(static_cast<std::size_t>(out_size));
  std::vector<double> weights;
  for (int out = 0; out < out_size; ++out) {
    const double centre = (out + 0.5) * ratio;
    const int first = std::max(0, static_cast<int>(centre - radius + 0.5));
    const int last = std::min(in_size, static_cast<int>(centre + radius + 0.5));
    weights.clear();
    double sum = 0;
    for (int in = first; in < last; ++in) {
      const double distance = std::abs((in - centre + 0.5) * inverse_radius);
      weights.push_back(std::max(0.0, 1.0 - distance));
      sum += weights.back();
    }
    Footprint& footprint = footprints[static_cast<std::size_t>(out)];
    footprint.first = first;
    for (const double weight : weights) {
      footprint.weights.push_back(
          static_cast<std::int32_t>(0.5 + weight / sum * (1 << kWeightBits)));
    }
  }
  return footprints;
}

// One output value: weighted pixels that lie `stride` apart, rounded to 8 bits.
std::uint8_t blend(const std::uint8_t* pixels, std::size_t stride, const Footprint& footprint) {
  std::int32_t sum = 1 << (kWeightBits - 1);
  for (const std::int32_t weight : footprint.weights) {
    sum += weight * *pixels;
    pixels += stride;
  }
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

Image resize_width(const Image& image, int width) {
  const std::vector<Footprint> footprints = triangle_filter(image.width, width);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * channels;
  Image resized{image.height, width, image.channels, {}};
  resized.pixels.reserve(static_cast<std::size_t>(image.height) * width * channels);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* row = image.pixels.data() + y * row_size;
    for (const Footprint& footprint : footprints) {
      const std::uint8_t* first = row + static_cast<std::size_t>(footprint.first) * channels;
      for (std::size_t c = 0; c < channels; ++c) {
        resized.pixels.push_back(blend(first + c, channels, footprint));
      }
    }
  }
  return resized;
}

Image resize_height(const Image& image, int height) {
  const std::vector<Footprint> footprints = triangle_filter(image.height, height);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * image.channels;
  Image resized{height, image.width, image.channels, {}};
  resized.pixels.reserve(static_cast<std::size_t>(height) * row_size);
  for (const Footprint& footprint : footprints) {
    const std::uint8_t* first =
        image.pixels.data() + static_cast<std::size_t>(footprint.first) * row_size;
    for (std::size_t i = 0; i < row_size; ++i) {
      resized.pixels.push_back(blend(first + i, row_size, footprint));
    }
  }
  return resized;
}

// round(n / 2) with halves to even, as Python rounds: 19 -> 10, 17 -> 8.
int half_to_even(int n) { return n / 2 + (n % 4 == 3 ? 1 : 0); }

}  // namespace

Image resize_bilinear(const Image& image, int height, int width) {
  if (image.width == width && image.height == height) return image;
  if (image.width == width) return resize_height(image, height);
  if (image.height == height) return resize_width(image, width);
  return resize_height(resize_width(image, width), height);
}

Image centre_crop(const Image& image, int height, int width) {
  const auto top = static_cast<std::size_t>(half_to_even(image.height - height));
  const auto left = static_cast<std::size_t>(half_to_even(image.width - width));
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * channels;
  const std::size_t cut_size = static_cast<std::size_t>(width) * channels;
  Image cut{height, width, image.channels, {}};
  cut.pixels.reserve(static_cast<std::size_t>(height) * cut_size);
  for (std::size_t y = top; y < top + static_cast<std::size_t>(height); ++y) {
    const auto first =
        image.pixels.begin() + static_cast<std::ptrdiff_t>(y * row_size + left * channels);
    cut.pixels.insert(cut.pixels.end(), first, first + static_cast<std::ptrdiff_t>(cut_size));
  }
  return cut;
}

Image to_grey(const Image& image) {
  if (image.channels != 3) return image;
  Image grey{image.height, image.width, 1, {}};
  grey.pixels.reserve(image.pixels.size() / 3);
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
    const std::uint32_t luma = image.pixels[i] * 19595U + image.pixels[i + 1] * 38470U +
                               image.pixels[i + 2] * 7471U + 0x8000U;
    grey.pixels.push_back(static_cast<std::uint8_t>(luma >> 16));
  }
  return grey;
}

}  // namespace espalier::data
