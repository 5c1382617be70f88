// From an 8-bit image to the int8 input of a model: resize, crop, map pixel values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

/// What happens to every image. The default decides by itself, from the model's input.
struct Preprocess {
  /// Short side after a bilinear resize; 0 = no resize. With resize and crop both 0 the size is
  /// automatic: an image of the model's input size is left alone; any other is resized until it
  /// covers round(147/128 of the input), short side to short side, and the centre is cut out.
  int resize = 0;
  int crop = 0;  ///< side of the square cut out of the centre; 0 = no crop

  // At most one of the four ways to map pixel values p; see mapping().
  bool identity = false;
  std::optional<std::array<std::int8_t, 256>> lut;
  std::vector<float> mean;  ///< one value, or one per channel of the model
  std::vector<float> std;   ///< as many as mean, above 0
  /// Integers that are no pictures stand for real values, scale * (q - zero_point).
  struct Quantized {
    float scale = 1;
    int zero_point = 0;
    bool operator==(const Quantized&) const = default;
  };
  std::optional<Quantized> quantized;

  /// How pixel values become int8.
  enum class Mapping {
    kAuto,       ///< p/127.5-1, p/255, p or p-128, whichever range the model's input covers
    kIdentity,   ///< p - 128
    kLut,        ///< lut[p]
    kNormalize,  ///< (p/255 - mean[c]) / std[c], quantised to the model's input
    kQuantized,  ///< scale * (p - zero_point), quantised to the model's input
  };
  /// What the members above amount to.
  [[nodiscard]] Mapping mapping() const {
    if (identity) return Mapping::kIdentity;
    if (lut) return Mapping::kLut;
    if (quantized) return Mapping::kQuantized;
    return mean.empty() && std.empty() ? Mapping::kAuto : Mapping::kNormalize;
  }

  bool operator==(const Preprocess&) const = default;
};

/// Parses the text of `--preprocess`: items separated by commas.
///
///     auto                       automatic size and mapping, also what the empty text means
///     resize=147  crop=128       geometry
///     lut=FILE                   table of 256 numbers from -128 to 127, line p for pixel value p
///     mean=0.485:0.456:0.406     with std: one value, or one per channel
///     std=0.229:0.224:0.225
///     identity                   p - 128
///     quantized=0.58:83          scale and zero point of integers that are no pictures
///
/// Errors: kUsage for text that is none of this, kMissingInput and kBadInput for the table.
Result<Preprocess> parse_preprocess(std::string_view spec);

/// The part of such text that names the table's file; empty when none does.
std::string_view table_file(std::string_view spec);

/// Fails with kUsage when a member is out of range or two of them contradict each other.
Status check(const Preprocess& preprocess);

/// Canonical text, such as `resize=147,crop=128,lut=sha256:0123456789ab`. A table is named by a
/// hash of its 256 bytes, so texts are equal exactly when the preprocessing is.
std::string to_string(const Preprocess& preprocess);

/// JSON for recipes; the table is embedded, so that reading it back gives the same preprocessing.
Json to_json(const Preprocess& preprocess);
/// Reads what to_json() wrote; kBadInput names `where` and the member that is wrong.
Result<Preprocess> preprocess_from_json(const Json& json, std::string_view where);

/// Preprocessing bound to one model input. Immutable and thread-safe.
class InputPipeline {
 public:
  /// What is done, for documents: to_string(preprocess()), or `int8 as it is`, or `float32
  /// quantised`.
  [[nodiscard]] std::string description() const;

  /// Writes the model's input for one image to `out_hwc`, height * width * channels values,
  /// channels last. A grey image feeds every channel of a model with three; a colour image is
  /// turned to grey (ITU-R 601) before anything else for a model with one. Samples of other
  /// elements must have the model's shape, that of its file, be flat, or have channels first; axes
  /// of one do not count. kBadInput when the image does not fit or a real value is no number,
  /// kInternal when the span has another size.
  Status to_input(const Image& image, std::span<std::int8_t> out_hwc) const;

  /// The same up to the mapping of pixel values: the resized and cropped 8-bit image.
  Result<Image> to_pixels(const Image& image) const;

  /// Tells the layout of the model file, which samples that are no pictures may follow: extents
  /// without the batch, and for each value of the input, channels last, its place among them. Flat
  /// samples are in this order. `element` is what the file's input takes.
  void set_file_layout(std::vector<std::int64_t> dims, std::vector<std::int64_t> order,
                       Element element);

  /// True when a sample that is no picture is taken in the order of the model's file, and by its
  /// axes may as well have channels last, which is another order.
  [[nodiscard]] bool layout_in_doubt(const Image& sample) const;

  /// What each value of a pixel becomes in a channel of the input; of pictures and bytes.
  [[nodiscard]] const std::array<std::int8_t, 256>& table(int channel) const {
    return tables_.at(static_cast<std::size_t>(channel));
  }
  [[nodiscard]] int height() const { return height_; }
  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int channels() const { return channels_; }
  [[nodiscard]] std::size_t elements() const {
    return static_cast<std::size_t>(height_) * width_ * channels_;
  }
  [[nodiscard]] const Preprocess& preprocess() const { return preprocess_; }
  [[nodiscard]] std::optional<Element> file_element() const { return file_element_; }
  [[nodiscard]] float scale() const { return scale_; }
  [[nodiscard]] int zero_point() const { return zero_point_; }

 private:
  friend Result<InputPipeline> make_pipeline(const Preprocess& preprocess, int target_h,
                                             int target_w, int target_c, float input_scale,
                                             int input_zero_point, Element element);
  InputPipeline() = default;

  Status values_to_input(const Image& sample, std::span<std::int8_t> out_hwc) const;

  Preprocess preprocess_;
  int height_ = 0;
  int width_ = 0;
  int channels_ = 0;
  Element element_ = Element::kPixel;
  float scale_ = 1;
  int zero_point_ = 0;
  std::vector<std::int64_t> file_dims_;   ///< empty when not told
  std::vector<std::int64_t> file_order_;  ///< [elements]
  std::optional<Element> file_element_;
  std::vector<std::array<std::int8_t, 256>> tables_;  ///< [channels], for pixels and bytes
};

/// What the values of a dataset are to a model's input of target_h x target_w x target_c. Arrays of
/// bytes that may be pictures, as steps of three channels may, are kUint8 to an input that has
/// their axes in another height and width.
Element element_for(const Dataset& dataset, int target_h, int target_w, int target_c);

/// Reads the images that open_dataset() left, each brought to the model's size at once where that
/// makes it smaller, so that large photos never are in memory together. kBadInput names each file
/// that cannot be used, and a dataset beyond kMaxDatasetBytes.
Result<Dataset> decode(Dataset dataset, const InputPipeline& pipeline);

/// Binds preprocessing to a model input of target_h x target_w x target_c (for pictures 1 or 3
/// channels) and to samples of one kind of element. float32 leaves nothing to preprocess, int8 only
/// the quantisation that it carries. The input has real = input_scale * (q - input_zero_point).
/// Normalised values are quantised as clamp(round(x / scale) + zero_point), halves to even, in
/// float32. Errors: kUsage when the two do not go together.
Result<InputPipeline> make_pipeline(const Preprocess& preprocess, int target_h, int target_w,
                                    int target_c, float input_scale, int input_zero_point,
                                    Element element = Element::kPixel);

}  // namespace espalier::data
