// SPDX-License-Identifier: MIT
// Runs programs on the simulated core: loads ELF files, clocks the model, says how a program ended
// and what it used. Knows no plan and no network. No Verilator type appears here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::hw {

// How long memories take. An access that waits n cycles is served n cycles later than one that does
// not. The flash is read by lines: the last line stays in a buffer, one for instructions and one
// for data, and costs nothing until another is wanted; the line behind the last of the instructions
// is read ahead. The registers of the test bench never wait.
struct MemoryTiming {
  std::uint32_t flash_wait = 0;  // cycles, 0 to 15, for a line of the flash
  std::uint32_t flash_line_bytes = 16;
  std::uint32_t sram_wait = 0;    // cycles, 0 to 15, for an access to the SRAM
  std::uint32_t random_seed = 0;  // unless 0: every access also waits at random, for verification
};

struct SimulatorConfig {
  std::uint32_t flash_base = 0x0800'0000;  // read and execute; a multiple of 4
  std::uint32_t flash_size = 8u << 20;     // bytes; only pages in use cost memory
  std::uint32_t sram_base = 0x2000'0000;   // read, write and execute; a multiple of 4
  std::uint32_t sram_size = 256u << 10;    // bytes
  MemoryTiming timing;
  // A trap inside a trap handler ends the run. A handler is left by mret or by writing mtvec.
  bool stop_on_nested_trap = true;
  // Attribute cycles and instructions to functions; costs a few per cent of speed.
  bool profile = false;
};

// Says what is wrong with the memories, if anything: they have aligned bases and sizes, at most
// 256 MiB each, overlap neither each other nor the registers, and wait as MemoryTiming says. A
// Simulator takes no other ones.
[[nodiscard]] std::optional<std::string> check(const SimulatorConfig& config);

enum class Outcome {
  kCycleLimit,     // still running when the cycles were used up
  kExited,         // wrote the exit register or tohost
  kTrapped,        // a trap nobody handled, or one that the program's handler reported
  kStackOverflow,  // the stack pointer left the stack downwards
  kStopped,        // the observer asked to stop
};

// "exited", "trapped", ... for reports.
std::string_view to_string(Outcome outcome);
// "load access fault", ... for an exception code of mcause.
std::string_view cause_name(std::uint32_t cause);

struct Trap {
  std::uint32_t pc = 0;     // address of the instruction that trapped
  std::uint32_t cause = 0;  // exception code of mcause
  std::uint32_t value = 0;  // mtval: the address or the instruction at fault
  bool nested = false;      // it happened inside a trap handler
};

struct FunctionProfile {
  std::string name;
  std::uint32_t address = 0;
  std::uint64_t cycles = 0;
  std::uint64_t instructions = 0;
};

// What the program used of the SRAM. Addresses are absolute.
struct SramUse {
  std::uint32_t bytes_written = 0;    // distinct bytes that were ever stored to
  std::uint32_t lowest_written = 0;   // lowest byte ever stored to, outside the stack
  std::uint32_t highest_written = 0;  // highest byte ever stored to, outside the stack
  std::uint32_t bytes_written_outside_stack = 0;
  std::uint32_t lowest_sp = 0;    // lowest stack pointer inside the SRAM; 0 if there was none
  std::uint32_t stack_bytes = 0;  // stack top minus lowest_sp
};

struct RunResult {
  Outcome outcome = Outcome::kCycleLimit;
  std::uint32_t exit_code = 0;  // with kExited
  Trap trap;                    // with kTrapped; with kStackOverflow pc, and value is the pointer
  std::uint64_t cycles = 0;     // since reset, as are all counters
  std::uint64_t instructions = 0;
  SramUse sram;

  double cycles_per_instruction() const {
    return instructions == 0 ? 0.0
                             : static_cast<double>(cycles) / static_cast<double>(instructions);
  }
  // One line for people: "exited with code 0", "load access fault at pc 0x..., address 0x...".
  std::string describe() const;
};

// A register that an instruction read.
struct Source {
  std::uint8_t index = 0;
  std::uint32_t value = 0;
};

// One instruction leaving the pipeline, in program order: the RISC-V Formal Interface of the core,
// `rvfi_*` of esp_core.sv.
struct Retirement {
  std::uint64_t cycle = 0;
  std::uint64_t order = 0;  // 0 for the first after reset, without gaps
  std::uint32_t pc = 0;
  std::uint32_t next_pc = 0;  // of the instruction that follows
  std::uint32_t instruction = 0;
  bool trapped = false;  // then `cause` and `value` hold mcause and mtval, and nothing was written
  bool first_of_handler = false;  // the instruction before it trapped
  std::uint32_t cause = 0;
  bool writes_register = false;
  bool writes_float_register = false;
  bool float_result_follows = false;  // written later, see Observer::late_float
  std::uint8_t rd = 0;
  std::uint32_t value = 0;        // written value, or mtval
  std::array<Source, 3> sources;  // integer registers, the accumulator third; 0 for none
  std::array<Source, 3> float_sources;
  std::uint8_t float_sources_used = 0;  // a bit for each that counts
  std::uint32_t memory_address = 0;     // of the word
  std::uint8_t load_mask = 0;           // byte lanes of a load, 0 for anything else
  std::uint32_t load_data = 0;          // the word; other lanes hold anything
  std::uint8_t store_mask = 0;          // byte lanes of a store, 0 for anything else
  std::uint32_t store_data = 0;         // shifted to its lanes; other lanes hold anything
};

// Sees every instruction. Returning false ends the run after this cycle.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual bool retired(const Retirement& retirement) = 0;
  // A float register was written by an instruction that retired earlier, in their order.
  virtual bool late_float(std::uint8_t rd, std::uint32_t value) = 0;
};

class Simulator {
 public:
  explicit Simulator(const SimulatorConfig& config = {});
  ~Simulator();
  Simulator(Simulator&&) noexcept;
  Simulator& operator=(Simulator&&) noexcept;

  // Places the segments of a 32-bit RISC-V executable at their load addresses, takes its symbols
  // and resets the core to its entry point. Returns what is wrong with the file, if anything.
  [[nodiscard]] std::optional<std::string> load_elf(std::span<const std::uint8_t> bytes);

  // Resets the core to `entry`, a multiple of 4, the counters and the record of use; memory stays.
  void reset(std::uint32_t entry);

  // Clocks until the program ends or `max_cycles` since reset are reached. May be called again
  // with a larger limit.
  RunResult run(std::uint64_t max_cycles);

  // False if the range is not inside one memory. Writing does not count as use by the program.
  [[nodiscard]] bool read_memory(std::uint32_t address, std::span<std::uint8_t> bytes) const;
  [[nodiscard]] bool write_memory(std::uint32_t address, std::span<const std::uint8_t> bytes);

  // Address of a symbol of the loaded program.
  std::optional<std::uint32_t> symbol(std::string_view name) const;

  // The stack that overflow is checked against. load_elf() takes it from the symbols
  // `__stack_bottom` and `__stack_top`; without them there is no check.
  void set_stack(std::uint32_t bottom, std::uint32_t top);

  const std::string& console() const;

  // Functions that ran, most cycles first. Empty unless SimulatorConfig::profile.
  std::vector<FunctionProfile> profile() const;

  // Null to see nothing; not owned. Observed runs are slower.
  void set_observer(Observer* observer);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::hw
