// What libFuzzer calls; ESPALIER_FUZZ_ENTRY is the target's entry function.
#include "targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::ESPALIER_FUZZ_ENTRY(data, size);
  return 0;
}
