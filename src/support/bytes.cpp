#include "espalier/support/bytes.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace espalier {

Result<Bytes> parse_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    double factor;
  };
  static constexpr std::array<Unit, 8> kUnits{{{"", 1.0},
                                               {"B", 1.0},
                                               {"KiB", 1024.0},
                                               {"KB", 1000.0},
                                               {"kB", 1000.0},
                                               {"MiB", 1024.0 * 1024.0},
                                               {"MB", 1e6},
                                               {"GiB", 1024.0 * 1024.0 * 1024.0}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (error == std::errc() && std::isfinite(number) && number >= 0) {
    for (const Unit& known : kUnits) {
      if (unit != known.name) continue;
      const double bytes = number * known.factor;
      if (bytes > 9e15) break;
      return Bytes{static_cast<std::int64_t>(std::floor(bytes))};
    }
  }
  return Error{ErrorKind::kUsage,
               fmt::format("'{}' is not a size; write a number with B, KB (1000), KiB (1024), MB "
                           "or MiB, such as 100KiB",
                           text)};
}

std::string format_bytes(Bytes size) {
  if (size.count >= 1024 * 1024) return fmt::format("{:.2f} MiB", size.kib() / 1024.0);
  if (size.count >= 1024) return fmt::format("{:.2f} KiB", size.kib());
  return fmt::format("{} B", size.count);
}

}  // namespace espalier
