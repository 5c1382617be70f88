// Holds a document against a JSON Schema.
#pragma once

#include <string_view>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::study {

/// kBadInput lists every violation with its place in the document; a member that the schema does
/// not know comes with the nearest one that it does.
Status check_schema(const Json& document, std::string_view schema, std::string_view where);

}  // namespace espalier::study
