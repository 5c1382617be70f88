// The report as one HTML page that needs neither a server nor a network.
#pragma once

#include <string>
#include <string_view>

#include "espalier/report/report.hpp"

namespace espalier::report {

/// What every page begins with.
inline constexpr std::string_view kPageStart = "<!DOCTYPE html>\n<!-- espalier.report/1 -->\n";

/// The scripts that draw the figures, as npm has them; empty where they are missing.
struct DrawingLibrary {
  std::string_view vega;
  std::string_view vega_lite;
  std::string_view vega_embed;
  std::string_view licences;  ///< their licence texts
  [[nodiscard]] bool present() const { return !vega.empty(); }
};

/// The scripts that this build of Espalier holds.
DrawingLibrary built_in_library();

/// The page. Without the library it has all tables and says what is missing. Its content policy
/// forbids every request, and nothing in it depends on when or where it was made.
std::string to_page(const Report& report, const DrawingLibrary& library);

}  // namespace espalier::report
