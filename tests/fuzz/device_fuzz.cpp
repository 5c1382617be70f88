// Any text as a device profile.
#include "espalier/cost/device_profile.hpp"
#include "fuzz/json_document.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::with_document(data, size, [](const espalier::Json& document) {
    (void)espalier::cost::device_from_json(document, "device.json");
  });
  return 0;
}
