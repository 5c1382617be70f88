// Kernels of one instruction set for a part of a test.
#pragma once

#include "espalier/kernels/simd.hpp"

namespace espalier::testing {

/// Makes kernels() return `table`; the end of the scope restores what it returned before, also
/// where an ASSERT_ leaves early.
class KernelChoice {
 public:
  explicit KernelChoice(const kernels::KernelTable& table) { kernels::use_kernels(table); }
  ~KernelChoice() { kernels::use_kernels(usual_); }
  KernelChoice(const KernelChoice&) = delete;
  KernelChoice& operator=(const KernelChoice&) = delete;

 private:
  const kernels::KernelTable& usual_ = kernels::kernels();
};

}  // namespace espalier::testing
