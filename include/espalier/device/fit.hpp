// Whether a compiled program fits a device.
#pragma once

#include "espalier/codegen/target.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/result.hpp"

namespace espalier::device {

/// Whether a device has the instructions that a target's compiler uses. The host's target is
/// portable C, which runs anywhere.
bool runs(const cost::DeviceProfile& device, const codegen::Target& target);

/// What the firmware's side of a program takes of SRAM.
struct BesideProgram {
  Bytes pointer;  ///< to an arena that the firmware gives
  Bytes replay;   ///< memory for samples
};

/// Ok when program, what is beside it and `stack` fit the device's SRAM and the constants of
/// `parameters` bytes its flash; code is not counted, `check` measures it. Otherwise kInfeasible,
/// with what is too much and what is alive at the arena's peak.
Status fits(const compiler::Program& program, Bytes parameters, const BesideProgram& beside,
            const cost::DeviceProfile& device, Bytes stack);

/// What the device's SRAM leaves for training beside `stack` and the firmware's `reserve`;
/// kInfeasible when that is nothing.
Result<Bytes> left_for_training(const cost::DeviceProfile& device, Bytes stack, Bytes reserve);

}  // namespace espalier::device
