// Any text as a device profile.
#include "espalier/cost/device_profile.hpp"
#include "fuzz/json_document.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::device(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::with_document(data, size, [](const espalier::Json& document) {
    (void)espalier::cost::device_from_json(document, "device.json");
  });
}
