// Proof of a compiled folder: built for the host and for its target, run on both, compared to the
// bit, held against the SRAM it promised, with cycles counted by kernel.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "espalier/cost/device_profile.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::device {

/// The most steps that a check makes where it is not told how many.
inline constexpr std::int64_t kMostUsualSteps = 8;

struct CheckOptions {
  /// Memories and instructions of the system that is simulated; its clock and its own core are not.
  cost::DeviceProfile device = cost::espalier_core();
  bool device_named = false;  ///< otherwise an emulated machine takes its usual device
  Bytes stack{4096};          ///< SRAM for the stack, in blocks of 16 bytes
  /// Training steps, one sample each. 0: three, or so many more that they end with an update,
  /// unless those are more than kMostUsualSteps or than there are `labels`.
  int steps = 0;
  std::uint64_t seed = 0;   ///< of random samples and labels
  std::string inputs;       ///< instead: int8 samples, one after the other, as a file
  std::vector<int> labels;  ///< of these
  /// In all; a program that needs more has failed. 0: 50 million a step and 100 (soft float 600)
  /// for each of its multiply-accumulates.
  std::uint64_t max_cycles = 0;
  std::chrono::milliseconds host_limit{60'000};  ///< a step on the host; longer has failed
  /// Also compares the SRAM behind every node, in builds and runs of their own. Without, what
  /// rounding hides is not found, and a difference is not traced to its node.
  bool nodes = true;
  bool node_cycles = false;  ///< counts the cycles of every node, in a build and a run of its own
  bool kernel_instructions = false;  ///< counts those of every kernel where no core does, likewise
  std::filesystem::path keep;        ///< where to leave the builds; empty: nowhere
  std::string host_compiler = "cc";
  std::string target_compiler;  ///< of the target; empty: as the folder says
  /// Share of the work done, 0..1, of runs that may each be of another build; false stops with
  /// kInterrupted.
  std::function<bool(double)> progress;
};

/// Cycles of one kernel over a training step, on average.
struct KernelCycles {
  std::string name;
  double cycles = 0;
  double instructions = 0;
  std::optional<double> macs;  ///< of a step; absent for kernels that do other work
};

/// Cycles of one node over a training step, on average; of a chain, all of it.
struct NodeCycles {
  std::string name;
  double cycles = 0;
};

struct CheckReport {
  std::string name;
  std::string target;
  std::string machine;  ///< where it ran, beside the host: "the core"
  int steps = 0;
  std::int64_t accumulate = 1;  ///< samples of an update
  std::int64_t updates = 0;     ///< that the steps made; with 0 all below is without one
  /// How the program failed: a trap, a stack overflow, a limit, on the core or on the host; empty
  /// when it ran to its end. After a failure nothing was compared, cycles are 0, and the rest is
  /// what was known by then.
  std::string failure;
  /// The first recorded step that differs, the first node behind which the SRAM does, and the first
  /// loss, logit or element of an array; empty when all bits agree.
  std::string mismatch;
  int traced_nodes = 0;        ///< nodes of a step behind each of which all SRAM was compared
  int traced_steps = 0;        ///< in the first so many steps
  int recorded_steps = 0;      ///< on which the C was held against the host engine
  int compared_arrays = 0;     ///< of parameters: all that the plan trains, and the head
  Bytes compared;              ///< in them
  double cycles_per_step = 0;  ///< mean of all steps, with the updates among them
  double cycles_per_turn = 0;  ///< of a change of turn without what writes flash; 0: not known
  double instructions_per_step = 0;
  std::vector<KernelCycles> kernels;  ///< most cycles first; of an emulator those asked for
  std::vector<NodeCycles> nodes;      ///< in the order of a step; empty unless asked for
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
