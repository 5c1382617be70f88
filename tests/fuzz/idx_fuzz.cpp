// Any bytes as IDX images with matching labels: plain or gzip.
#include <cstdint>
#include <string>

#include "espalier/data/dataset.hpp"
#include "fuzz/temporary_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // One label for one image, so that small images are a whole dataset.
  static const std::uint8_t kLabels[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
  static const std::string kLabelFile =
      espalier::fuzz::write_temporary("espalier_fuzz_labels", kLabels, sizeof kLabels).string();
  const std::string images =
      espalier::fuzz::write_temporary("espalier_fuzz_images", data, size).string();
  (void)espalier::data::load_dataset("idx:" + images + "," + kLabelFile);
  return 0;
}
