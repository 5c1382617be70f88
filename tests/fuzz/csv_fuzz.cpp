// Any text as a CSV file of features and labels.
#include "espalier/data/dataset.hpp"
#include "fuzz/files.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::csv(const std::uint8_t* data, std::size_t size) {
  (void)data::load_dataset("csv:" + file("given.csv", data, size));
}
