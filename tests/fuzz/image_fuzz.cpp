// Any bytes as a PNG or JPEG file of a folder dataset.
#include <cstdint>
#include <filesystem>
#include <string>

#include "espalier/data/dataset.hpp"
#include "fuzz/temporary_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace fs = std::filesystem;
  static const fs::path kFolder =
      fs::temp_directory_path() / ("espalier_fuzz_folder." + std::to_string(getpid()));
  fs::create_directories(kFolder / "class");
  const fs::path written = espalier::fuzz::write_temporary("espalier_fuzz_image", data, size);
  const bool jpeg = size > 0 && data[0] == 0xff;
  fs::rename(written, kFolder / "class" / (jpeg ? "image.jpg" : "image.png"));
  fs::remove(kFolder / "class" / (jpeg ? "image.png" : "image.jpg"));
  (void)espalier::data::load_dataset("folder:" + kFolder.string());
  return 0;
}
