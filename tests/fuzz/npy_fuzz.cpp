// Any bytes as features of a .npy file, and as labels.
#include <string>

#include "data/array_files.hpp"
#include "espalier/data/dataset.hpp"
#include "fuzz/files.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::npy(const std::uint8_t* data, std::size_t size) {
  static const std::string kLabels = file("labels.npy", testing::npy<std::int64_t>({0, 1, 2}, {3}));
  static const std::string kFeatures =
      file("features.npy", testing::npy<float>({0, 1, 2, 3, 4, 5}, {3, 2}));
  const std::string given = file("given.npy", data, size);
  (void)data::load_dataset("npy:" + given + "," + kLabels);
  (void)data::load_dataset("npy:" + kFeatures + "," + given);
}
