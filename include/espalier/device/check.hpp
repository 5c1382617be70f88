// Proof of a compiled folder: built for the host and for RISC-V, run on both, compared to the bit,
// held against the SRAM it promised, with cycles counted by kernel.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::device {

/// The simulated system.
struct System {
  std::string name = "espalier-core";
  std::uint32_t sram_base = 0x20000000;
  Bytes sram{256 * 1024};
  std::uint32_t flash_base = 0x08000000;
  Bytes flash{2 * 1024 * 1024};
  bool float_unit = true;   ///< off: soft float
  bool dot_product = true;  ///< off: folders that use it are refused
};

struct CheckOptions {
  System system;
  Bytes stack{4096};        ///< SRAM for the stack, in blocks of 16 bytes
  int steps = 3;            ///< training steps, one sample each
  std::uint64_t seed = 0;   ///< of random samples and labels
  std::string inputs;       ///< instead: int8 samples, one after the other, as a file
  std::vector<int> labels;  ///< of these
  /// In all; a program that needs more has failed. 0: 50 million a step and 100 (soft float 600)
  /// for each of its multiply-accumulates.
  std::uint64_t max_cycles = 0;
  std::chrono::seconds host_limit{60};  ///< a step on the host; longer has failed
  std::filesystem::path keep;           ///< where to leave the builds; empty: nowhere
  std::string host_compiler = "cc";
  std::string riscv_compiler = "riscv64-unknown-elf-gcc";
  /// Share of the steps done, 0..1; false stops with kInterrupted.
  std::function<bool(double)> progress;
};

/// Cycles of one kernel over a training step, on average.
struct KernelCycles {
  std::string name;
  double cycles = 0;
  double instructions = 0;
  std::optional<double> macs;  ///< of a step; absent for kernels that do other work
};

struct CheckReport {
  std::string name;
  std::string target;
  int steps = 0;
  /// How the program failed: a trap, a stack overflow, a limit, on the core or on the host; empty
  /// when it ran to its end. After a failure nothing was compared, cycles are 0, and the rest is
  /// what was known by then.
  std::string failure;
  /// The first difference, naming array and element; empty when all bits agree.
  std::string mismatch;
  int compared_arrays = 0;  ///< of parameters: all that the plan trains, and the head
  Bytes compared;           ///< in them
  double cycles_per_step = 0;
  double instructions_per_step = 0;
  std::vector<KernelCycles> kernels;  ///< most cycles first
  Bytes promised_sram;                ///< of the program, without stack
  Bytes used_sram;                    ///< bytes written outside the stack
  Bytes stack_allowed;
  Bytes stack_used;
  Bytes promised_parameters;
  Bytes used_parameters;  ///< constants as built
  Bytes used_flash;       ///< code, constants and initial data of the program, linked alone with
                          ///< what it needs of libc and libgcc: no samples, driver, start-up code
  std::vector<float> losses;
  double simulated_cycles_per_second = 0;
};

/// Runs the check of a folder that `espalier compile` wrote. Errors: kMissingInput and kBadInput
/// for the folder, for compilers that are missing and builds that fail; kInfeasible when the
/// program or the samples do not fit the system. A program that traps, overflows its stack or does
/// not end, differences and broken promises are in the report: see verdict().
Result<CheckReport> check(const std::filesystem::path& folder, const CheckOptions& options);

/// Ok, or kMismatch with the failure or all that does not hold.
Status verdict(const CheckReport& report);

Json to_json(const CheckReport& report);
/// Of a report without failure.
std::string to_table(const CheckReport& report);

}  // namespace espalier::device
