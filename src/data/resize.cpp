#include "espalier/data/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace espalier::data {
namespace {

// 8 bits of pixel, 2 bits of head room and these make 32.
constexpr int kWeightBits = 22;

// What each output pixel is made of along one side: input pixels that lie side by side, and their
// fixed-point weights.
class TriangleFilter {
 public:
  TriangleFilter(int in_size, int out_size) {
    const double ratio = static_cast<double>(in_size) / out_size;
    const double radius = std::max(ratio, 1.0);
    const double inverse_radius = 1.0 / radius;
    footprints_.reserve(static_cast<std::size_t>(out_size));
    std::vector<double> shares;
    for (int out = 0; out < out_size; ++out) {
      const double centre = (out + 0.5) * ratio;
      const int first = std::max(0, static_cast<int>(centre - radius + 0.5));
      const int last = std::min(in_size, static_cast<int>(centre + radius + 0.5));
      shares.clear();
      double sum = 0;
      for (int in = first; in < last; ++in) {
        const double distance = std::abs((in - centre + 0.5) * inverse_radius);
        shares.push_back(std::max(0.0, 1.0 - distance));
        sum += shares.back();
      }
      footprints_.push_back({static_cast<std::size_t>(first), weights_.size(), shares.size()});
      for (const double share : shares) {
        weights_.push_back(static_cast<std::int32_t>(0.5 + share / sum * (1 << kWeightBits)));
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return footprints_.size(); }
  [[nodiscard]] std::size_t first(std::size_t out) const { return footprints_[out].first; }
  [[nodiscard]] std::span<const std::int32_t> weights(std::size_t out) const {
    return std::span(weights_).subspan(footprints_[out].weight, footprints_[out].count);
  }

 private:
  struct Footprint {
    std::size_t first;   // input pixel
    std::size_t weight;  // of that pixel, in weights_
    std::size_t count;
  };
  std::vector<Footprint> footprints_;
  std::vector<std::int32_t> weights_;
};

constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

// Rounded to 8 bits.
std::uint8_t pixel_of(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

Image resize_width(const Image& image, int width) {
  const TriangleFilter filter(image.width, width);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * channels;
  Image resized{image.height, width, image.channels, {}};
  resized.pixels.resize(static_cast<std::size_t>(image.height) * filter.size() * channels);
  std::uint8_t* out = resized.pixels.data();
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* row = image.pixels.data() + y * row_size;
    for (std::size_t x = 0; x < filter.size(); ++x) {
      const std::uint8_t* first = row + filter.first(x) * channels;
      for (std::size_t c = 0; c < channels; ++c) {
        const std::uint8_t* pixel = first + c;
        std::int32_t sum = kHalf;
        for (const std::int32_t weight : filter.weights(x)) {
          sum += weight * *pixel;
          pixel += channels;
        }
        *out++ = pixel_of(sum);
      }
    }
  }
  return resized;
}

// Whole rows at a time, in loops that compilers turn into vectors.
Image resize_height(const Image& image, int height) {
  const TriangleFilter filter(image.height, height);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * image.channels;
  Image resized{height, image.width, image.channels, {}};
  resized.pixels.resize(filter.size() * row_size);
  std::vector<std::int32_t> sums(row_size);
  for (std::size_t y = 0; y < filter.size(); ++y) {
    const std::uint8_t* row = image.pixels.data() + filter.first(y) * row_size;
    std::fill(sums.begin(), sums.end(), kHalf);
    for (const std::int32_t weight : filter.weights(y)) {
      for (std::size_t i = 0; i < row_size; ++i) sums[i] += weight * row[i];
      row += row_size;
    }
    std::transform(sums.begin(), sums.end(), resized.pixels.data() + y * row_size, pixel_of);
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
