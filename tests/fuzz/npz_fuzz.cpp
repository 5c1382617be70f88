// Any bytes as a .npz archive.
#include "espalier/data/dataset.hpp"
#include "fuzz/files.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::npz(const std::uint8_t* data, std::size_t size) {
  (void)data::load_dataset("npz:" + file("given.npz", data, size));
}
