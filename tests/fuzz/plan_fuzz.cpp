// Any text as an update plan: one that is valid, or diagnostics.
#include <cstdlib>

#include "espalier/plan/plan_json.hpp"
#include "fuzz/json_document.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::plan(const std::uint8_t* data, std::size_t size) {
  espalier::fuzz::with_document(data, size, [](const espalier::Json& document) {
    const auto plan = espalier::plan::from_json(document, espalier::fuzz::graph());
    if (!plan.ok()) return;
    const auto again =
        espalier::plan::from_json(espalier::plan::to_json(*plan), espalier::fuzz::graph());
    if (!again.ok()) std::abort();
  });
}
