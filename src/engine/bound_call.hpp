// Calls of kernels with every argument worked out: what runs a step does nothing but call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "espalier/codegen/kernel_calls.hpp"
#include "host/kernels.hpp"
#include "runtime/espalier_rows.h"
#include "runtime/espalier_runtime.h"

namespace espalier::engine {

/// What arguments point into; stays where it is as long as the calls.
struct Memory {
  std::byte* arena = nullptr;
  std::byte* state = nullptr;  ///< the block, control in front
  const std::byte* flash = nullptr;
  const compiler::StateLayout* state_layout = nullptr;
  const codegen::FlashLayout* flash_layout = nullptr;
  const std::int32_t* label = nullptr;
  const esp_sgd* sgd = nullptr;
  const esp_band* band = nullptr;  ///< of the turn, in a chain
};

class BoundCall {
 public:
  virtual ~BoundCall() = default;
  virtual void run() = 0;
};

/// Throws std::logic_error for an argument that the kernel does not take in that place.
std::unique_ptr<BoundCall> bind(const codegen::KernelCall& call, const Kernels& kernels,
                                const Memory& memory);

}  // namespace espalier::engine
