// The files of src/report that pages contain, embedded at build time, by file name.
#pragma once

#include <map>
#include <string_view>

namespace espalier::report {

const std::map<std::string_view, std::string_view>& page_parts();

}  // namespace espalier::report
