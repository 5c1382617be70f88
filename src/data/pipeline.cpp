#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <utility>

#include "espalier/data/preprocess.hpp"
#include "espalier/data/resize.hpp"

namespace espalier::data {
namespace {

using Table = std::array<std::int8_t, 256>;

struct Size {
  std::int64_t height;
  std::int64_t width;
};

// How much an image is enlarged before its centre is cut out: the published 147 for 128.
std::int64_t before_crop(std::int64_t side) { return (side * 147 + 64) / 128; }

// The smallest size with the image's proportions that covers both sides. The longer side is
// rounded down, as torchvision does.
Size cover(const Image& image, Size least) {
  const Size from{image.height, image.width};
  if (from.height * least.width <= from.width * least.height) {
    return {least.height, from.width * least.height / from.height};
  }
  return {from.height * least.width / from.width, least.width};
}

template <typename Real>
std::int8_t to_int8(Real value) {
  return static_cast<std::int8_t>(std::clamp(value, Real{-128}, Real{127}));
}

std::int8_t quantized(float real, float scale, int zero_point) {
  return to_int8(std::nearbyint(real / scale) + static_cast<float>(zero_point));
}

// The extents that say something.
std::vector<std::int64_t> axes(const std::vector<std::int64_t>& extents) {
  std::vector<std::int64_t> kept;
  std::copy_if(extents.begin(), extents.end(), std::back_inserter(kept),
               [](std::int64_t extent) { return extent != 1; });
  return kept;
}

Table identity_table() {
  Table table{};
  for (int p = 0; p < 256; ++p) table[static_cast<std::size_t>(p)] = to_int8(p - 128);
  return table;
}

Table normalizing_table(float mean, float std, float scale, int zero_point) {
  Table table{};
  for (int p = 0; p < 256; ++p) {
    const float x = (static_cast<float>(p) / 255.0F - mean) / std;
    table[static_cast<std::size_t>(p)] = quantized(x, scale, zero_point);
  }
  return table;
}

// Bytes of samples that are no pictures, in their own quantisation.
Table requantizing_table(const Preprocess::Quantized& from, bool is_signed, float scale,
                         int zero_point) {
  Table table{};
  for (int p = 0; p < 256; ++p) {
    const int q = is_signed && p > 127 ? p - 256 : p;
    table[static_cast<std::size_t>(p)] =
        quantized(static_cast<float>(q - from.zero_point) * from.scale, scale, zero_point);
  }
  return table;
}

// The real values that pixels 0 and 255 stand for by one convention or another.
struct PixelRange {
  double low;
  double high;
};
constexpr std::array<PixelRange, 4> kPixelRanges{{{-1, 1}, {0, 1}, {0, 255}, {-128, 127}}};

Result<Table> automatic_table(double scale, int zero_point) {
  const PixelRange covered{scale * (-128 - zero_point), scale * (127 - zero_point)};
  for (const PixelRange& range : kPixelRanges) {
    const double tolerance = 0.025 * (range.high - range.low);
    if (std::abs(covered.low - range.low) > tolerance ||
        std::abs(covered.high - range.high) > tolerance) {
      continue;
    }
    Table table{};
    for (int p = 0; p < 256; ++p) {
      const double x = range.low + (range.high - range.low) * p / 255.0;
      const double exact = x / scale + zero_point;
      // A scale of 2/255 with zero point 0 or -1 puts every pixel value half way between two
      // integers. Choosing p - 128 there keeps all of them apart, whatever the last bit of the
      // scale, where rounding to even would merge them in pairs.
      const bool shift = std::abs(exact - (p - 128)) <= 0.5 + 1e-3;
      table[static_cast<std::size_t>(p)] = to_int8(shift ? p - 128.0 : std::nearbyint(exact));
    }
    return table;
  }
  return Error{ErrorKind::kUsage,
               fmt::format("preprocess: the model's input covers {:.4g} to {:.4g}, from which no "
                           "mapping of pixel values can be told; give mean= and std=, lut= or "
                           "identity",
                           covered.low, covered.high)};
}

// Why images brought to this geometry cannot be the model's input; empty if they can.
std::string misfit(const Preprocess& p, int height, int width) {
  if (p.crop > 0 && (p.crop != height || p.crop != width)) {
    return fmt::format(
        "crop={0} gives {0}x{0} pixels, and the model's input has {1}x{2}; leave "
        "resize and crop out for an automatic size",
        p.crop, height, width);
  }
  if (p.resize > 0 && p.crop == 0 && p.resize != std::min(height, width)) {
    return fmt::format(
        "resize={} without crop leaves a short side other than that of the model's "
        "input, {}x{}; add crop or leave resize out for an automatic size",
        p.resize, height, width);
  }
  return "";
}

}  // namespace

Element element_for(const Dataset& dataset, int target_h, int target_w, int target_c) {
  if (dataset.element != Element::kPixel || dataset.images.empty()) return dataset.element;
  // All are of one shape; pictures of a folder, which are not, are still to be read.
  const Image& first = dataset.images.front();
  if (!first.file.empty() || (first.height == target_h && first.width == target_w)) {
    return Element::kPixel;
  }
  const std::vector<std::int64_t> has = axes({first.height, first.width, first.channels});
  const bool fits =
      has == axes({target_h, target_w, target_c}) || has == axes({target_c, target_h, target_w});
  return fits ? Element::kUint8 : Element::kPixel;
}

Result<InputPipeline> make_pipeline(const Preprocess& preprocess, int target_h, int target_w,
                                    int target_c, float input_scale, int input_zero_point,
                                    Element element) {
  const auto wrong = [](std::string why) {
    return Error{ErrorKind::kUsage, "preprocess: " + std::move(why)};
  };
  ESPALIER_CHECK_OK(check(preprocess));
  const bool pictures = element == Element::kPixel;
  if (target_h < 1 || target_w < 1 || target_c < 1 ||
      (pictures && (target_h > kMaxImageSide || target_w > kMaxImageSide ||
                    (target_c != 1 && target_c != 3)))) {
    return wrong(
        fmt::format("the model's input is {}x{}x{}; images need sides of 1 to {} and 1 or "
                    "3 channels",
                    target_h, target_w, target_c, kMaxImageSide));
  }
  if (!std::isfinite(input_scale) || input_scale <= 0) {
    return wrong(fmt::format("the model's input scale is {}; it must be above 0", input_scale));
  }
  const bool requantized = preprocess.quantized.has_value();
  const bool mapped =
      pictures || element == Element::kUint8 || (element == Element::kInt8 && requantized);
  if (pictures && requantized) {
    return wrong("quantized is for samples of integers that are no pictures; give mean and std");
  }
  if (!mapped && !(preprocess == Preprocess{})) {
    return wrong(fmt::format("{} has no part in samples of {}, which {}; leave it out",
                             to_string(preprocess), element_name(element),
                             element == Element::kInt8 ? "are the model's input as they are, or "
                                                         "quantized=SCALE:ZERO_POINT"
                                                       : "are quantised to the model's input"));
  }
  if (!pictures && (preprocess.resize > 0 || preprocess.crop > 0)) {
    return wrong("resize and crop are for pictures, and the samples are none; leave them out");
  }
  if (std::string why = misfit(preprocess, target_h, target_w); !why.empty()) {
    return wrong(std::move(why));
  }

  InputPipeline pipeline;
  pipeline.preprocess_ = preprocess;
  pipeline.height_ = target_h;
  pipeline.width_ = target_w;
  pipeline.channels_ = target_c;
  pipeline.element_ = element;
  pipeline.scale_ = input_scale;
  pipeline.zero_point_ = input_zero_point;
  if (!mapped) return pipeline;
  const auto channels = static_cast<std::size_t>(target_c);
  switch (preprocess.mapping()) {
    case Preprocess::Mapping::kAuto: {
      ESPALIER_TRY(const Table table, automatic_table(input_scale, input_zero_point));
      pipeline.tables_.assign(channels, table);
      break;
    }
    case Preprocess::Mapping::kIdentity:
      pipeline.tables_.assign(channels, identity_table());
      break;
    case Preprocess::Mapping::kLut:
      pipeline.tables_.assign(channels, *preprocess.lut);
      break;
    case Preprocess::Mapping::kQuantized:
      pipeline.tables_.assign(channels,
                              requantizing_table(*preprocess.quantized, element == Element::kInt8,
                                                 input_scale, input_zero_point));
      break;
    case Preprocess::Mapping::kNormalize: {
      const std::size_t given = preprocess.mean.size();
      if (given != 1 && given != channels) {
        return wrong(
            fmt::format("mean and std have {} values, and the model's input has {} channels; "
                        "give one value each or one per channel",
                        given, target_c));
      }
      for (std::size_t c = 0; c < channels; ++c) {
        const std::size_t i = given == 1 ? 0 : c;
        pipeline.tables_.push_back(normalizing_table(preprocess.mean[i], preprocess.std[i],
                                                     input_scale, input_zero_point));
      }
      break;
    }
  }
  return pipeline;
}

Result<Image> InputPipeline::to_pixels(const Image& image) const {
  const auto wrong = [](std::string why) { return Error{ErrorKind::kBadInput, std::move(why)}; };
  const bool sides_fit = image.height >= 1 && image.width >= 1 && image.height <= kMaxImageSide &&
                         image.width <= kMaxImageSide;
  if (!sides_fit || (image.channels != 1 && image.channels != 3) ||
      image.pixels.size() !=
          static_cast<std::size_t>(image.height) * image.width * image.channels) {
    return wrong(fmt::format("an image of {}x{}x{} with {} bytes cannot be used", image.height,
                             image.width, image.channels, image.pixels.size()));
  }
  const bool automatic = preprocess_.resize == 0 && preprocess_.crop == 0;
  Size resized{image.height, image.width};
  if (preprocess_.resize > 0) {
    resized = cover(image, {preprocess_.resize, preprocess_.resize});
  } else if (automatic && (image.height != height_ || image.width != width_)) {
    resized = cover(image, {before_crop(height_), before_crop(width_)});
  }
  if (resized.height > kMaxImageSide || resized.width > kMaxImageSide) {
    return wrong(
        fmt::format("a picture of {}x{} pixels would be resized to {}x{}, and {} a side is "
                    "the limit; crop the picture",
                    image.height, image.width, resized.height, resized.width, kMaxImageSide));
  }
  const bool cropped = preprocess_.crop > 0 || automatic;
  const bool covers = cropped ? resized.height >= height_ && resized.width >= width_
                              : resized.height == height_ && resized.width == width_;
  if (!covers) {
    return wrong(
        fmt::format("a picture of {}x{} pixels becomes {}x{} where the model needs {}x{}; "
                    "change resize and crop or leave them out for an automatic size",
                    image.height, image.width, resized.height, resized.width, height_, width_));
  }
  // Grey first: resampling three channels and mixing them later would round differently.
  Image result = channels_ == 1 ? to_grey(image) : image;
  result =
      resize_bilinear(result, static_cast<int>(resized.height), static_cast<int>(resized.width));
  return centre_crop(result, height_, width_);
}

void InputPipeline::set_file_layout(std::vector<std::int64_t> dims, std::vector<std::int64_t> order,
                                    Element element) {
  file_element_ = element;
  if (order.size() != elements()) return;
  file_dims_ = std::move(dims);
  file_order_ = std::move(order);
}

bool InputPipeline::layout_in_doubt(const Image& sample) const {
  const std::vector<std::int64_t> has = axes({sample.height, sample.width, sample.channels});
  if (element_ == Element::kPixel || file_order_.empty() || has.size() < 2 ||
      has != axes(file_dims_) || has != axes({height_, width_, channels_})) {
    return false;
  }
  return !std::is_sorted(file_order_.begin(), file_order_.end());
}

std::string InputPipeline::description() const {
  if (element_ == Element::kInt8 && tables_.empty()) return "int8 as it is";
  if (element_ == Element::kFloat32) return "float32 quantised";
  return to_string(preprocess_);
}

Status InputPipeline::values_to_input(const Image& sample, std::span<std::int8_t> out_hwc) const {
  const std::vector<std::int64_t> has = axes({sample.height, sample.width, sample.channels});
  const auto count = static_cast<std::int64_t>(elements());
  const bool flat = has.size() <= 1 && (has.empty() ? 1 : has.front()) == count;
  const bool as_in_file = !file_order_.empty() && (flat || has == axes(file_dims_));
  const bool channels_last = flat || has == axes({height_, width_, channels_});
  if (!as_in_file && !channels_last && has != axes({channels_, height_, width_})) {
    return Error{
        ErrorKind::kBadInput,
        fmt::format("samples of {}x{}x{} values do not fit the model's input, {}x{}x{}; "
                    "give them that shape, or flat",
                    sample.height, sample.width, sample.channels, height_, width_, channels_)};
  }
  const auto channels = static_cast<std::size_t>(channels_);
  const std::size_t pixels = elements() / channels;
  const std::size_t size = element_ == Element::kFloat32 ? sizeof(float) : 1;
  if (sample.pixels.size() != elements() * size) {
    return Error{ErrorKind::kBadInput, fmt::format("{} bytes are not a sample of {} values",
                                                   sample.pixels.size(), elements())};
  }
  for (std::size_t i = 0; i < elements(); ++i) {
    const std::size_t channel = i % channels;
    const std::size_t from = as_in_file      ? static_cast<std::size_t>(file_order_[i])
                             : channels_last ? i
                                             : channel * pixels + i / channels;
    const std::uint8_t* value = sample.pixels.data() + from * size;
    if (element_ == Element::kInt8 && tables_.empty()) {
      out_hwc[i] = static_cast<std::int8_t>(*value);
    } else if (element_ != Element::kFloat32) {
      out_hwc[i] = tables_[channel][*value];
    } else {
      float real = 0;
      std::memcpy(&real, value, sizeof real);
      if (!std::isfinite(real)) {
        return Error{ErrorKind::kBadInput,
                     fmt::format("value {} is not a finite number; remove the sample", from)};
      }
      out_hwc[i] = quantized(real, scale_, zero_point_);
    }
  }
  return Ok{};
}

Status InputPipeline::to_input(const Image& image, std::span<std::int8_t> out_hwc) const {
  if (out_hwc.size() != elements()) {
    return Error{ErrorKind::kInternal,
                 fmt::format("a model input of {} values was requested, it has {}", out_hwc.size(),
                             elements())};
  }
  if (element_ != Element::kPixel) return values_to_input(image, out_hwc);
  Image fitted;
  if (!image.fitted) {
    ESPALIER_TRY(fitted, to_pixels(image));
  }
  const Image& pixels = image.fitted ? image : fitted;
  const std::size_t channels = tables_.size();
  const auto step = static_cast<std::size_t>(pixels.channels);
  const std::size_t count = elements() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    const std::uint8_t* pixel = pixels.pixels.data() + (step == 1 ? 0 : c);
    for (std::size_t i = 0; i < count; ++i) {
      out_hwc[i * channels + c] = tables_[c][pixel[i * step]];
    }
  }
  return Ok{};
}

}  // namespace espalier::data
