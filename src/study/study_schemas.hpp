// The JSON Schemas of reports/schemas, as text by file name.
#pragma once

#include <map>
#include <string_view>

namespace espalier::study {

const std::map<std::string_view, std::string_view>& study_schemas();

}  // namespace espalier::study
