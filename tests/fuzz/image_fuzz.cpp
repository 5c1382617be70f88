// Any bytes as a PNG or JPEG file of a folder dataset.
#include <filesystem>

#include "espalier/data/dataset.hpp"
#include "fuzz/files.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::image(const std::uint8_t* data, std::size_t size) {
  const bool jpeg = size > 0 && data[0] == 0xff;
  std::filesystem::remove(path(jpeg ? "pictures/class/image.png" : "pictures/class/image.jpg"));
  (void)file(jpeg ? "pictures/class/image.jpg" : "pictures/class/image.png", data, size);
  (void)data::load_dataset("folder:" + path("pictures"));
}
