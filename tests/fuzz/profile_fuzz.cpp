// Any text as a contribution profile.
#include "espalier/contribution/profile.hpp"
#include "fuzz/json_document.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::with_document(data, size, [](const espalier::Json& document) {
    (void)espalier::contribution::profile_from_json(document, espalier::fuzz::graph(),
                                                    "profile.json");
  });
  return 0;
}
