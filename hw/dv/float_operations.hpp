// SPDX-License-Identifier: MIT
// Every operation of the float unit once: how it is issued, what the oracle says, what the host
// says. Tests of the unit expand this table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dv/soft_float.hpp"

namespace espalier::hw::dv {

struct FloatOperands {
  std::uint32_t a = 0;  // also the integer of conversions from integers
  std::uint32_t b = 0;
  std::uint32_t c = 0;
};

struct FloatOperation {
  const char* name;
  std::uint8_t op;      // esp_pkg::fpu_op_e
  std::uint8_t funct3;  // chooses within a family that does not round
  bool is_unsigned;     // conversions
  int operands;         // how many of a, b, c count
  bool from_integer;
  FloatResult (*oracle)(const FloatOperands& operands, Rounding rounding);
  // In the rounding mode that the host is in, see HostRounding. Empty where hosts may differ.
  std::optional<FloatResult> (*host)(const FloatOperands& operands);
};

std::span<const FloatOperation> float_operations();

// Puts the host into a rounding mode, and back at the end of its life.
class HostRounding {
 public:
  explicit HostRounding(Rounding rounding);
  ~HostRounding();
  HostRounding(const HostRounding&) = delete;
  HostRounding& operator=(const HostRounding&) = delete;
  // The host has no rounding to nearest with ties away from zero.
  static bool supports(Rounding rounding) { return rounding != Rounding::kRmm; }

 private:
  int previous_;
};

}  // namespace espalier::hw::dv
