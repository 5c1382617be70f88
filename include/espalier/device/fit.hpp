// Whether a compiled program fits a device.
#pragma once

#include "espalier/codegen/target.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/result.hpp"

namespace espalier::device {

/// Whether a device runs what a target's compiler makes; the host's runs anywhere, being portable
/// C. kInfeasible.
Status runs(const codegen::Target& target, const cost::DeviceProfile& device);

/// Ok when program and `stack` fit the device's SRAM and the constants of `parameters` bytes its
/// flash; code is not counted, `check` measures it. Otherwise kInfeasible, with what is too much
/// and what is alive at the arena's peak.
Status fits(const compiler::Program& program, Bytes parameters, const cost::DeviceProfile& device,
            Bytes stack);

/// What the device's SRAM leaves for training beside `stack` and the firmware's `reserve`;
/// kInfeasible when that is nothing.
Result<Bytes> left_for_training(const cost::DeviceProfile& device, Bytes stack, Bytes reserve);

}  // namespace espalier::device
