// The published plans of about 100 KB, from profiles/published.
#pragma once

#include <filesystem>
#include <string_view>

#include "espalier/support/json.hpp"

namespace espalier::testing {

/// The file of a published network's plan: "mcunet-5fps", "mbv2-w0.35" or "proxyless-w0.3".
std::filesystem::path published_plan_file(std::string_view model);

/// What it holds, in the published notation.
Json published_plan(std::string_view model);

}  // namespace espalier::testing
