// fuzz_corpus DIR writes DIR/TARGET/0, 1, ... for every target.
#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/corpus.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const auto& [target, inputs] : espalier::fuzz::corpus()) {
    const std::filesystem::path folder = std::filesystem::path(argv[1]) / target;
    std::filesystem::create_directories(folder);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::ofstream(folder / std::to_string(i), std::ios::binary) << inputs[i];
    }
  }
  return 0;
}
