// Any bytes as IDX images with one label: plain or gzip.
#include <string>

#include "espalier/data/dataset.hpp"
#include "fuzz/files.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::idx(const std::uint8_t* data, std::size_t size) {
  static const std::string kLabels = file("labels.idx", std::string("\0\0\x8\1\0\0\0\1\0", 9));
  (void)data::load_dataset("idx:" + file("images.idx", data, size) + "," + kLabels);
}
