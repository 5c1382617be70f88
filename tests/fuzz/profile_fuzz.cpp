// Any text as a contribution profile.
#include "espalier/contribution/profile.hpp"
#include "fuzz/json_document.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::profile(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::with_document(data, size, [](const espalier::Json& document) {
    (void)espalier::contribution::profile_from_json(document, espalier::fuzz::graph(),
                                                    "profile.json");
  });
}
