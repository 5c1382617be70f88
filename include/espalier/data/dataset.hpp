// Labelled 8-bit images in memory, where they came from, and how they were selected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

/// Longest side of an image, in pixels, before or after resizing.
inline constexpr int kMaxImageSide = 8192;
/// Most bytes a dataset may hold, as files and as decoded pixels.
inline constexpr std::int64_t kMaxDatasetBytes = std::int64_t{4} << 30;

/// One picture, channels interleaved: pixels[(y * width + x) * channels + c]. One channel is grey,
/// three are red, green, blue.
struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;

  bool operator==(const Image&) const = default;
};

/// One step that chose records of a dataset; part of the dataset's identity.
struct Selection {
  enum class Kind {
    kSubset,      ///< subset()
    kTrain,       ///< the training side of split()
    kValidation,  ///< the validation side of split()
  };
  Kind kind = Kind::kSubset;
  std::vector<int> classes;  ///< subset: the classes kept, in their new order; empty = all
  std::int64_t count = 0;    ///< subset: the limit, 0 = all; split: records set aside
  bool balanced = true;      ///< subset: balanced over classes, otherwise the first records
  std::uint64_t seed = 0;

  bool operator==(const Selection&) const = default;
};

/// Images with their labels. labels[i] in [0, classes) belongs to images[i].
struct Dataset {
  std::vector<Image> images;
  std::vector<int> labels;
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
/// An idx dataset has as many classes as its largest label says. Alpha channels are dropped and
/// 16-bit samples keep their upper byte; JPEG pixels may differ from another decoder's by a few
/// units. In folders every file of a class must be an image, except names that start with a dot.
/// File names in cifar10 and idx specs must not contain a comma.
///
/// `sha256` covers the files as they are stored, one after the other (`cat FILE... | sha256sum`);
/// for a folder, where names decide labels, it covers the listing `sha256sum */*` prints.
///
/// Errors: kUsage for a spec that is none of the above; kMissingInput for files that cannot be
/// opened; kBadInput for content that is wrong, empty, or larger than the limits above.
Result<Dataset> load_dataset(std::string_view spec);

/// The spec with the folders left out: `cifar10:/a/b/test.bin` -> `cifar10:test.bin`.
std::string portable_spec(std::string_view spec);

/// What the records are, independent of where they are stored: `spec` (file names only), `sha256`,
/// `count`, `classes` and the list `selections`.
Json identity_json(const Dataset& dataset);

}  // namespace espalier::data
