// What runs a compiled folder. One implementation a file beside this; a target names its machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compiled_folder.hpp"
#include "espalier/device/check.hpp"
#include "run.hpp"
#include "toolchain.hpp"

namespace espalier::device {

/// What to run: `work` holds driver.c and what write_samples() wrote, and takes what is built.
struct Job {
  const Folder& folder;
  const CheckOptions& options;
  std::filesystem::path work;
  std::filesystem::path source;     ///< <name>.c, or a traced form of it
  bool traced = false;              ///< not to be measured
  int timed_nodes = 0;              ///< of a traced form whose nodes are timed instead of compared
  int counted_kernels = 0;          ///< of a form that counts the instructions of its kernels
  std::uint64_t traced_cycles = 0;  ///< what hashing, and a step of the head, may take on top
};

class Machine {
 public:
  virtual ~Machine() = default;

  /// For people, as in "on the core".
  [[nodiscard]] virtual std::string_view where() const = 0;

  /// The device that is meant where none was named.
  [[nodiscard]] virtual cost::DeviceProfile usual_device(const CheckOptions& options) const {
    return options.device;
  }

  /// What cannot work, said before samples are made and anything is built.
  [[nodiscard]] virtual Status prepare(const Folder& folder, const CheckOptions& options) const = 0;

  /// Builds the folder and the driver with the flags of the machine's target, runs them and fills
  /// what this machine can tell of `report`. kMismatch when the program fails; other errors as
  /// check() has them.
  [[nodiscard]] virtual Result<Run> run(const Job& job, CheckReport& report) const = 0;
};

std::unique_ptr<Machine> make_host();
std::unique_ptr<Machine> make_core();
/// A board of qemu-system-arm; null when it is none that stands for a device.
std::unique_ptr<Machine> make_emulator(std::string_view board);

/// Null when there is no such machine.
std::unique_ptr<Machine> find_machine(std::string_view name);

/// What the driver is told on the command line of the compiler.
std::vector<std::string> driver_definitions(const Job& job);

/// kInfeasible when the program and its stack, and on a named device its replay memory, do not fit
/// the device's SRAM.
Status fits_sram(const Folder& folder, const CheckOptions& options);

/// Links the object `program` and the parameters alone, whole, with what they need of the
/// libraries, and fills in what flash they take. kInfeasible when the device has less.
Status measure_program(const Job& job, const Toolchain& toolchain, const std::string& program,
                       CheckReport& report);

}  // namespace espalier::device
