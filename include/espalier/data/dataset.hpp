// Labelled 8-bit images in memory, where they came from, and how they were selected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

/// Longest side of an image, in pixels, before or after resizing.
inline constexpr int kMaxImageSide = 8192;
/// Most bytes a dataset may hold, as files, as decoded pixels, and as arrays with what each record
/// takes beside its values.
inline constexpr std::int64_t kMaxDatasetBytes = std::int64_t{4} << 30;

/// What the values of a sample are, and so how they become a model's input.
enum class Element {
  kPixel,    ///< pictures of 8 bits, of any size, through all of the preprocessing
  kUint8,    ///< bytes of the model's shape, mapped as pixels are
  kInt8,     ///< the model's input as it is
  kFloat32,  ///< real values of the model's shape, quantised to its input
};

/// One picture, channels interleaved: pixels[(y * width + x) * channels + c]. One channel is grey,
/// three are red, green, blue. Samples of other elements are one too: their values in
/// row-major order, of float32 the bytes, with as many channels as they need.
struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
  std::filesystem::path file;  ///< holds the picture while it is still to be read by decode()
  bool fitted = false;         ///< resized and cropped already

  bool operator==(const Image&) const = default;
};

/// One step that chose records of a dataset; part of the dataset's identity.
struct Selection {
  enum class Kind {
    kSubset,      ///< subset()
    kTrain,       ///< the training side of split(), or of one of folds
    kValidation,  ///< the validation side
  };
  Kind kind = Kind::kSubset;
  std::vector<int> classes;  ///< subset: the classes kept, in their new order; empty = all
  std::int64_t count = 0;    ///< subset: the limit, 0 = all; split(): records set aside
  int folds = 0;             ///< fold(): into how many parts; 0 = split()
  int fold = 0;              ///< which of them is set aside
  std::int64_t joined = 0;   ///< fold(): records from outside at the end of the training side
  bool balanced = true;      ///< subset: balanced over classes, otherwise the first records; also
                             ///< of the subset whose last records split_last() sets aside
  bool halved = false;       ///< split(): small classes gave half, and more without that bound
  bool last = false;         ///< of split_last()
  std::uint64_t seed = 0;

  bool operator==(const Selection&) const = default;
};

/// Images with their labels. labels[i] in [0, classes) belongs to images[i].
struct Dataset {
  std::vector<Image> images;
  std::vector<int> labels;
  Element element = Element::kPixel;  ///< of all samples
  int classes = 0;
  std::vector<std::string> class_names;  ///< [classes]
  std::string spec;                      ///< as given to load_dataset()
  std::string sha256;                    ///< hexadecimal, over the files' content in order
  std::vector<Selection> selections;     ///< in the order in which they were applied

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(images.size()); }
};

/// Reads the dataset that `spec` names:
///
///     cifar10:FILE[,FILE...]  CIFAR-10 binary records: a label byte, 3072 bytes of planar RGB
///     idx:IMAGES,LABELS       MNIST's IDX format, plain or gzip-compressed (told by content);
///                             unsigned bytes, [n][height][width] or [n][height][width][1 or 3]
///     folder:DIR              a sub-folder per class with PNG or JPEG files; classes and files
///                             are in byte order of their names
///
///     npy:FEATURES,LABELS     NumPy arrays: int8, uint8 or float32 [n][...], integers [n]
///     npz:FILE[,X,Y]          the same as members of an archive, told by names such as x and y
///     csv:FILE[,COLUMN]       numbers and a label a line; the label's column by name, otherwise
///                             label, class, target or y (unless there is a z), otherwise the
///                             last; with or without a line of names in front, which may count the
///                             columns
///
/// Arrays of uint8 with two axes, or with one or three channels last, are pictures, but to a model
/// that reads a series of that shape (element_for() in preprocess.hpp). Labels of a csv that are
/// words make classes in byte order. An idx, npy or npz dataset has as many classes as
/// its largest label says. Alpha channels are dropped and 16-bit samples keep their upper byte;
/// JPEG pixels may differ from another decoder's by a few units. In folders every file of a class
/// must be an image, except names that start with a dot. File names in all specs but folder must
/// not contain a comma.
///
/// `sha256` covers the files as they are stored, one after the other (`cat FILE... | sha256sum`);
/// for a folder, where names decide labels, it covers the listing `sha256sum */*` prints.
///
/// Errors: kUsage for a spec that is none of the above; kMissingInput for files that cannot be
/// opened; kBadInput for content that is wrong, empty, or larger than the limits above.
Result<Dataset> load_dataset(std::string_view spec);

/// The same, but the images of a folder are only looked at, and left to decode() (preprocess.hpp):
/// what is not selected is never decoded.
Result<Dataset> open_dataset(std::string_view spec);

/// pixel, uint8, int8 or float32.
std::string_view element_name(Element element);

/// The spec with the folders left out: `cifar10:/a/b/test.bin` -> `cifar10:test.bin`.
std::string portable_spec(std::string_view spec);

/// The files, or the folder, that a spec names, without the names of what is in them; empty for
/// text that is no spec.
std::vector<std::filesystem::path> spec_files(std::string_view spec);

/// The spec with every file that is relative taken to lie in `folder`; other text as it is.
std::string spec_in(std::string_view spec, const std::filesystem::path& folder);

/// What the records are, independent of where they are stored: `spec` (file names only), `sha256`,
/// `count`, `classes`, `class_names` and the list `selections`;
/// also `element`, unless it is pictures.
Json identity_json(const Dataset& dataset);

}  // namespace espalier::data
