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

/// Ok when program, `replay` memory and `stack` fit the device's SRAM and the constants of
/// `parameters` bytes its flash; code is not counted, `check` measures it. Otherwise kInfeasible,
/// with what is too much and what is alive at the arena's peak.
Status fits(const compiler::Program& program, Bytes parameters, Bytes replay,
            const cost::DeviceProfile& device, Bytes stack);

/// What the device's SRAM leaves for training beside `stack` and the firmware's `reserve`;
/// kInfeasible when that is nothing.
Result<Bytes> left_for_training(const cost::DeviceProfile& device, Bytes stack, Bytes reserve);

}  // namespace espalier::device
