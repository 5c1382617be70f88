// SPDX-License-Identifier: MIT
// An instruction-set simulator of the same machine, written from the ISA manual and not from the
// RTL: RV32IMF, Zicsr, Zifencei, pm4adda.b, esp.lwdota.b, machine mode. The oracle of the lockstep
// tests.
//
// Knows no timing: mcycle, cycle and time read as whatever the caller last gave to set_cycles().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace espalier::hw::dv {

// What the core may be built without.
struct Extensions {
  bool float_unit = true;   // F
  bool dot_product = true;  // pm4adda.b
  bool load_dot = true;     // esp.lwdota.b, which needs pm4adda.b
};

// What a dot product makes of its accumulator and two words of four signed bytes.
std::uint32_t byte_dot(std::uint32_t sum, std::uint32_t a, std::uint32_t b);

struct IssConfig {
  std::uint32_t flash_base = 0x0800'0000;
  std::uint32_t flash_size = 1u << 20;  // bytes
  std::uint32_t sram_base = 0x2000'0000;
  std::uint32_t sram_size = 256u << 10;  // bytes
  Extensions extensions;
};

// What one instruction did.
struct Step {
  std::uint32_t pc = 0;
  std::uint32_t instruction = 0;
  bool trapped = false;
  std::uint32_t cause = 0;
  std::uint32_t value = 0;  // mtval of a trap
  bool writes_register = false;
  bool writes_float_register = false;
  bool reads_cycles = false;  // the written value depends on timing
  std::uint8_t rd = 0;
  std::uint32_t result = 0;
  std::uint8_t store_mask = 0;  // byte lanes in the word at store_address
  std::uint32_t store_address = 0;
  std::uint32_t store_data = 0;  // shifted to its lanes; other lanes are zero
};

class Iss {
 public:
  explicit Iss(const IssConfig& config);

  void reset(std::uint32_t entry);
  // False if the range is not inside one memory.
  bool write_memory(std::uint32_t address, const std::vector<std::uint8_t>& bytes);

  Step step();

  // For results that depend on timing: overrides what the last step wrote.
  void set_register(std::uint8_t index, std::uint32_t value);

  // Of the instruction that the next step executes.
  std::uint32_t pc() const { return pc_; }
  std::uint32_t integer_register(std::uint8_t index) const { return x_[index]; }
  std::uint32_t float_register(std::uint8_t index) const { return f_[index]; }
  std::uint32_t fflags() const { return fflags_; }
  bool exited() const { return exited_; }

 private:
  struct Fault {
    std::uint32_t cause;
    std::uint32_t value;
  };

  std::uint8_t* find(std::uint32_t address, std::uint32_t size, bool write);
  std::optional<std::uint32_t> load_word(std::uint32_t address);
  std::optional<Fault> execute(std::uint32_t instruction, Step& step);
  std::optional<Fault> load(std::uint32_t address, std::uint32_t size, std::uint32_t& value);
  std::optional<Fault> execute_load(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_load_dot(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_store(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_operation(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_immediate(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_system(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_float(std::uint32_t instruction, Step& step);
  std::optional<Fault> execute_fused(std::uint32_t instruction, Step& step);
  std::optional<std::uint32_t> read_csr(std::uint32_t address, Step& step) const;
  void write_csr(std::uint32_t address, std::uint32_t value);
  void write_x(Step& step, std::uint32_t rd, std::uint32_t value);
  void write_f(Step& step, std::uint32_t rd, std::uint32_t value);

  IssConfig config_;
  std::vector<std::uint8_t> flash_;
  std::vector<std::uint8_t> sram_;
  std::array<std::uint32_t, 32> x_{};
  std::array<std::uint32_t, 32> f_{};
  std::uint32_t pc_ = 0;
  std::uint32_t next_pc_ = 0;
  std::uint32_t fflags_ = 0;
  std::uint32_t frm_ = 0;
  std::uint32_t fs_ = 0;
  bool mie_ = false;
  bool mpie_ = false;
  std::uint32_t mtvec_ = 0;
  std::uint32_t mepc_ = 0;
  std::uint32_t mcause_ = 0;
  std::uint32_t mtval_ = 0;
  std::uint32_t mscratch_ = 0;
  std::uint64_t instret_ = 0;
  bool counts_ = true;  // false for an instruction that sets the counter itself
  bool exited_ = false;
};

}  // namespace espalier::hw::dv
