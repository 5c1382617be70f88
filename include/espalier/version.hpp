#pragma once

#include <string_view>

namespace espalier {

/// Of the tool; written into every document.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace espalier
