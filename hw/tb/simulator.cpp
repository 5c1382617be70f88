// SPDX-License-Identifier: MIT
#include "simulator.hpp"

#include <verilated.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#if VM_COVERAGE
#include <unistd.h>
#include <verilated_cov.h>

#include <cstdlib>
#endif

#include "Vesp_soc.h"
#include "elf.hpp"
#include "system_memory.hpp"

namespace espalier::hw {
namespace {

constexpr std::uint32_t kRegisters = 0x1000'0000;  // of the test bench: MmioBase of esp_pkg.sv
constexpr std::uint32_t kRegisterBytes = 32;       // all that the window of esp_mmio.sv has
constexpr std::uint32_t kLargestMemory = 256u << 20;
constexpr std::uint32_t kMostWaits = 15;     // what the straps of esp_soc.sv hold
constexpr std::uint32_t kLongestLine = 256;  // bytes
constexpr std::uint32_t kMret = 0x3020'0073;
constexpr std::uint8_t kStackPointer = 2;

std::string hex(std::uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

bool writes_mtvec(std::uint32_t instruction) {
  return (instruction & 0x7fu) == 0x73 && (instruction >> 12 & 3u) != 0 &&
         instruction >> 20 == 0x305;
}

bool inside(std::uint32_t address, std::size_t count, std::uint32_t base, std::uint32_t size) {
  const std::uint32_t offset = address - base;
  return offset <= size && count <= size - offset;
}

std::string outside(std::uint32_t address, std::size_t bytes) {
  return "segment of " + std::to_string(bytes) + " bytes at " + hex(address) +
         " lies outside flash and SRAM";
}

}  // namespace

std::optional<std::string> check(const SimulatorConfig& config) {
  const MemoryTiming& timing = config.timing;
  if (timing.flash_wait > kMostWaits || timing.sram_wait > kMostWaits) {
    return "memories wait at most " + std::to_string(kMostWaits) + " cycles";
  }
  if (!std::has_single_bit(timing.flash_line_bytes) || timing.flash_line_bytes < 4 ||
      timing.flash_line_bytes > kLongestLine) {
    return "a line of the flash has a power of two from 4 to " + std::to_string(kLongestLine) +
           " bytes";
  }
  struct Range {
    std::string name;
    std::uint64_t base;
    std::uint64_t size;
  };
  const Range ranges[] = {{"flash", config.flash_base, config.flash_size},
                          {"SRAM", config.sram_base, config.sram_size},
                          {"the registers", kRegisters, kRegisterBytes}};
  for (const Range& range : ranges) {
    if ((range.base | range.size) % 4 != 0) {
      return range.name + ": base and size must be multiples of 4";
    }
    if (range.size > kLargestMemory) {
      return range.name + ": " + std::to_string(range.size) + " bytes exceed " +
             std::to_string(kLargestMemory);
    }
    if (range.base + range.size > std::uint64_t{1} << 32) {
      return range.name + ": reaches beyond the end of the address space";
    }
    for (const Range& other : ranges) {
      if (&other == &range) break;
      if (range.base < other.base + other.size && other.base < range.base + range.size) {
        return range.name + " at " + hex(static_cast<std::uint32_t>(range.base)) + " overlaps " +
               other.name + " at " + hex(static_cast<std::uint32_t>(other.base));
      }
    }
  }
  return {};
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCycleLimit:
      return "cycle limit";
    case Outcome::kExited:
      return "exited";
    case Outcome::kTrapped:
      return "trapped";
    case Outcome::kStackOverflow:
      return "stack overflow";
    case Outcome::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string_view cause_name(std::uint32_t cause) {
  switch (cause) {
    case 0:
      return "instruction address misaligned";
    case 1:
      return "instruction access fault";
    case 2:
      return "illegal instruction";
    case 3:
      return "breakpoint";
    case 4:
      return "load address misaligned";
    case 5:
      return "load access fault";
    case 6:
      return "store address misaligned";
    case 7:
      return "store access fault";
    case 11:
      return "environment call";
    default:
      return "unknown trap";
  }
}

std::string RunResult::describe() const {
  switch (outcome) {
    case Outcome::kExited:
      return "exited with code " + std::to_string(exit_code);
    case Outcome::kTrapped:
      return std::string(cause_name(trap.cause)) + " at pc " + hex(trap.pc) + ", value " +
             hex(trap.value) + (trap.nested ? ", inside a trap handler" : "");
    case Outcome::kStackOverflow:
      return "stack overflow at pc " + hex(trap.pc) + ", stack pointer " + hex(trap.value);
    case Outcome::kCycleLimit:
      return "still running after " + std::to_string(cycles) + " cycles, at pc " + hex(trap.pc);
    case Outcome::kStopped:
      return "stopped at pc " + hex(trap.pc);
  }
  return {};
}

class Simulator::Impl {
 public:
  explicit Impl(const SimulatorConfig& config)
      : config_(config),
        memory_(config.flash_base, config.flash_size, config.sram_size),
        top_(&context_) {
    reset(config_.flash_base);
  }
  ~Impl() {
    enter();
    top_.final();
#if VM_COVERAGE
    write_coverage();
#endif
  }

  std::optional<std::string> load_elf(std::span<const std::uint8_t> bytes) {
    ElfFile file;
    if (std::optional<std::string> error = read_elf(bytes, file)) return error;
    for (const ElfSegment& segment : file.segments) {
      if (!segment.bytes.empty() && !write_memory(segment.address, segment.bytes)) {
        return outside(segment.address, segment.bytes.size());
      }
      if (segment.zero_size == 0) continue;
      std::uint8_t* zero = locate(segment.zero_address, segment.zero_size);
      if (zero == nullptr) return outside(segment.zero_address, segment.zero_size);
      std::memset(zero, 0, segment.zero_size);
    }
    symbols_.clear();
    functions_.clear();
    for (const ElfSymbol& symbol : file.symbols) {
      symbols_.insert({symbol.name, symbol.address});
      if (symbol.is_code) functions_.insert({symbol.address, symbol.name});
    }
    stack_bottom_ = 0;
    stack_top_ = 0;
    const std::optional<std::uint32_t> bottom = symbol("__stack_bottom");
    const std::optional<std::uint32_t> top = symbol("__stack_top");
    if (bottom && top) set_stack(*bottom, *top);
    memory_.tohost_offset = ~0u;
    if (const std::optional<std::uint32_t> tohost = symbol("tohost")) {
      if (inside(*tohost, 4, config_.sram_base, config_.sram_size)) {
        memory_.tohost_offset = *tohost - config_.sram_base;
      }
    }
    reset(file.entry);
    return {};
  }

  void reset(std::uint32_t entry) {
    enter();
    std::fill(memory_.written.begin(), memory_.written.end(), std::uint8_t{0});
    memory_.console.clear();
    memory_.stop = false;
    memory_.exited = false;
    memory_.trap_reported = false;
    cycles_ = 0;
    instructions_ = 0;
    last_pc_ = entry;
    in_trap_ = false;
    sp_on_stack_ = false;
    lowest_sp_ = ~0u;
    last_retired_cycle_ = 0;
    if (config_.profile) {
      flash_cycles_ = Counts(config_.flash_size);
      sram_cycles_ = Counts(config_.sram_size);
      other_ = {};
    }

    top_.boot_addr_i = entry;
    top_.flash_base_i = config_.flash_base;
    top_.flash_size_i = config_.flash_size;
    top_.sram_base_i = config_.sram_base;
    top_.sram_size_i = config_.sram_size;
    top_.flash_wait_i = static_cast<std::uint8_t>(config_.timing.flash_wait);
    top_.sram_wait_i = static_cast<std::uint8_t>(config_.timing.sram_wait);
    top_.flash_line_mask_i = ~(config_.timing.flash_line_bytes - 1);
    top_.random_wait_i = config_.timing.random_seed;
    top_.handle_i = reinterpret_cast<std::uintptr_t>(&memory_);
    top_.srst_ni = 0;
    clock();
    clock();
    top_.srst_ni = 1;
  }

  RunResult run(std::uint64_t max_cycles) {
    enter();
    if (observer_ != nullptr) return run_loop<true>(max_cycles);
    return run_loop<false>(max_cycles);
  }

  bool read_memory(std::uint32_t address, std::span<std::uint8_t> bytes) {
    const std::uint8_t* from = locate(address, bytes.size());
    if (from == nullptr) return false;
    if (!bytes.empty()) std::memcpy(bytes.data(), from, bytes.size());
    return true;
  }

  bool write_memory(std::uint32_t address, std::span<const std::uint8_t> bytes) {
    std::uint8_t* to = locate(address, bytes.size());
    if (to == nullptr) return false;
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return true;
  }

  std::optional<std::uint32_t> symbol(std::string_view name) const {
    const auto found = symbols_.find(name);
    if (found == symbols_.end()) return {};
    return found->second;
  }

  void set_stack(std::uint32_t bottom, std::uint32_t top) {
    stack_bottom_ = bottom;
    stack_top_ = top;
  }

  const std::string& console() const { return memory_.console; }

  std::vector<FunctionProfile> profile() const {
    std::map<std::uint32_t, FunctionProfile> found;
    const auto add = [&](std::uint32_t pc, const Count& count) {
      if (count.cycles == 0 && count.instructions == 0) return;
      auto function = functions_.upper_bound(pc);
      std::uint32_t address = 0;
      std::string name = "(no symbol)";
      if (function != functions_.begin()) {
        --function;
        address = function->first;
        name = function->second;
      }
      FunctionProfile& row = found[address];
      row.name = name;
      row.address = address;
      row.cycles += count.cycles;
      row.instructions += count.instructions;
    };
    flash_cycles_.visit(
        [&](std::uint32_t offset, const Count& count) { add(config_.flash_base + offset, count); });
    sram_cycles_.visit(
        [&](std::uint32_t offset, const Count& count) { add(config_.sram_base + offset, count); });
    std::vector<FunctionProfile> rows;
    for (auto& [address, row] : found) rows.push_back(std::move(row));
    if (other_.cycles != 0) rows.push_back({"(no memory)", 0, other_.cycles, other_.instructions});
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.cycles > b.cycles; });
    return rows;
  }

  void set_observer(Observer* observer) { observer_ = observer; }

 private:
  struct Count {
    std::uint64_t cycles = 0;
    std::uint64_t instructions = 0;
  };

  // Of the instructions of a memory, which has many more words than a program has code: in pieces,
  // made when one is first counted in.
  class Counts {
   public:
    Counts() = default;
    explicit Counts(std::uint32_t bytes) : pieces_(bytes / kPieceBytes + 1) {}

    Count& at(std::uint32_t offset) {
      std::unique_ptr<Piece>& piece = pieces_[offset / kPieceBytes];
      if (piece == nullptr) piece = std::make_unique<Piece>();
      return (*piece)[offset % kPieceBytes / 4];
    }
    // Calls visitor(offset, count) in the order of addresses; leaves out what was never counted.
    template <typename Visitor>
    void visit(const Visitor& visitor) const {
      for (std::size_t i = 0; i < pieces_.size(); ++i) {
        if (pieces_[i] == nullptr) continue;
        for (std::size_t k = 0; k < pieces_[i]->size(); ++k) {
          visitor(static_cast<std::uint32_t>(kPieceBytes * i + 4 * k), (*pieces_[i])[k]);
        }
      }
    }

   private:
    static constexpr std::uint32_t kPieceBytes = 4096;
    using Piece = std::array<Count, kPieceBytes / 4>;
    std::vector<std::unique_ptr<Piece>> pieces_;
  };

#if VM_COVERAGE
  // One file for each simulator, in the folder that the environment names.
  void write_coverage() {
    static int count = 0;
    const char* folder = std::getenv("ESPALIER_HW_COVERAGE");
    if (folder == nullptr) return;
    const std::string name = std::string(folder) + "/coverage-" + std::to_string(::getpid()) + "-" +
                             std::to_string(count++) + ".dat";
    context_.coveragep()->write(name.c_str());
  }
#endif

  // Verilator's library, and the destructor of the model with it, works on the context that was
  // last made on this thread unless told otherwise: that of another simulator, which may be gone.
  void enter() { Verilated::threadContextp(&context_); }

  void clock() {
    top_.clk_i = 0;
    top_.eval();
    top_.clk_i = 1;
    top_.eval();
  }

  std::uint8_t* locate(std::uint32_t address, std::size_t count) {
    if (inside(address, count, config_.flash_base, config_.flash_size)) {
      return memory_.flash.bytes() + (address - config_.flash_base);
    }
    if (inside(address, count, config_.sram_base, config_.sram_size)) {
      return memory_.sram.bytes() + (address - config_.sram_base);
    }
    return nullptr;
  }

  template <bool Observed>
  RunResult run_loop(std::uint64_t max_cycles) {
    RunResult result;
    if (memory_.stop) return finish(result, false);  // it has ended before
    bool stopped = false;
    while (cycles_ < max_cycles && !stopped && !memory_.stop) {
      clock();
      ++cycles_;
      if (top_.rvfi_valid) stopped = on_retire<Observed>(result);
      // After the retirement: a division writes in the cycle in which it is reported.
      if (Observed && top_.rvfi_ext_late_valid) {
        stopped |= !observer_->late_float(top_.rvfi_ext_late_addr, top_.rvfi_ext_late_wdata);
      }
    }
    return finish(result, stopped);
  }

  // True if the run ends here, and then says in `result` why.
  template <bool Observed>
  bool on_retire(RunResult& result) {
    last_pc_ = top_.rvfi_pc_rdata;
    if (config_.profile) count_cycles();
    bool stopped = false;
    if (Observed && !observe()) {
      result.outcome = Outcome::kStopped;
      stopped = true;
    }
    if (top_.rvfi_trap) return on_trap(result) || stopped;
    ++instructions_;
    if (in_trap_ && (top_.rvfi_insn == kMret || writes_mtvec(top_.rvfi_insn))) in_trap_ = false;
    if (top_.rvfi_rd_addr == kStackPointer) stopped |= on_stack_pointer(result);
    return stopped;
  }

  bool observe() {
    Retirement retirement;
    retirement.cycle = cycles_;
    retirement.pc = top_.rvfi_pc_rdata;
    retirement.instruction = top_.rvfi_insn;
    retirement.trapped = top_.rvfi_trap;
    retirement.order = top_.rvfi_order;
    retirement.next_pc = top_.rvfi_pc_wdata;
    retirement.first_of_handler = top_.rvfi_intr;
    retirement.cause = top_.rvfi_ext_cause;
    retirement.writes_register = top_.rvfi_rd_addr != 0;
    retirement.writes_float_register = top_.rvfi_frd_wvalid;
    retirement.float_result_follows = top_.rvfi_ext_late;
    retirement.rd = retirement.writes_register ? top_.rvfi_rd_addr : top_.rvfi_frd_addr;
    retirement.value = retirement.trapped           ? top_.rvfi_ext_tval
                       : retirement.writes_register ? top_.rvfi_rd_wdata
                                                    : top_.rvfi_frd_wdata;
    retirement.sources = {{{top_.rvfi_rs1_addr, top_.rvfi_rs1_rdata},
                           {top_.rvfi_rs2_addr, top_.rvfi_rs2_rdata},
                           {top_.rvfi_rs3_addr, top_.rvfi_rs3_rdata}}};
    retirement.float_sources = {{{top_.rvfi_frs1_addr, top_.rvfi_frs1_rdata},
                                 {top_.rvfi_frs2_addr, top_.rvfi_frs2_rdata},
                                 {top_.rvfi_frs3_addr, top_.rvfi_frs3_rdata}}};
    retirement.float_sources_used = static_cast<std::uint8_t>(
        top_.rvfi_frs1_rvalid | top_.rvfi_frs2_rvalid << 1 | top_.rvfi_frs3_rvalid << 2);
    retirement.memory_address = top_.rvfi_mem_addr;
    retirement.load_mask = top_.rvfi_mem_rmask;
    retirement.load_data = top_.rvfi_mem_rdata;
    retirement.store_mask = top_.rvfi_mem_wmask;
    retirement.store_data = top_.rvfi_mem_wdata;
    return observer_->retired(retirement);
  }

  void count_cycles() {
    const std::uint64_t spent = cycles_ - last_retired_cycle_;
    last_retired_cycle_ = cycles_;
    Count* count = &other_;
    const std::uint32_t flash_offset = last_pc_ - config_.flash_base;
    const std::uint32_t sram_offset = last_pc_ - config_.sram_base;
    if (flash_offset < config_.flash_size) {
      count = &flash_cycles_.at(flash_offset);
    } else if (sram_offset < config_.sram_size) {
      count = &sram_cycles_.at(sram_offset);
    }
    count->cycles += spent;
    count->instructions += top_.rvfi_trap ? 0 : 1;
  }

  // True if the run ends here.
  bool on_trap(RunResult& result) {
    const bool nested = in_trap_;
    in_trap_ = true;
    if (top_.rvfi_ext_mtvec != 0 && !(nested && config_.stop_on_nested_trap)) return false;
    result.outcome = Outcome::kTrapped;
    result.trap = {top_.rvfi_pc_rdata, top_.rvfi_ext_cause, top_.rvfi_ext_tval, nested};
    return true;
  }

  // True if the run ends here.
  bool on_stack_pointer(RunResult& result) {
    const std::uint32_t sp = top_.rvfi_rd_wdata;
    // lui and auipc write half of an address; the other half follows.
    if ((top_.rvfi_insn & 0x5fu) == 0x17) return false;
    if (inside(sp, 0, config_.sram_base, config_.sram_size)) lowest_sp_ = std::min(lowest_sp_, sp);
    if (stack_top_ == 0) return false;
    // Start-up code and context switches may put anything there; a stack pointer that was on the
    // stack and is then below it has overflowed.
    if (sp >= stack_bottom_ && sp <= stack_top_) {
      sp_on_stack_ = true;
    } else if (sp_on_stack_ && sp < stack_bottom_) {
      result.outcome = Outcome::kStackOverflow;
      result.trap = {top_.rvfi_pc_rdata, 0, sp, false};
      return true;
    }
    return false;
  }

  RunResult finish(RunResult result, bool stopped) {
    result.cycles = cycles_;
    result.instructions = instructions_;
    if (memory_.trap_reported) {
      result.outcome = Outcome::kTrapped;
      result.trap = {memory_.trap_epc, memory_.trap_cause, memory_.trap_tval, false};
    } else if (memory_.exited) {
      result.outcome = Outcome::kExited;
      result.exit_code = memory_.exit_code;
    } else if (result.outcome == Outcome::kCycleLimit || result.outcome == Outcome::kStopped) {
      // late_float() may have stopped the run without on_retire() knowing.
      if (stopped) result.outcome = Outcome::kStopped;
      result.trap.pc = last_pc_;
    }
    result.sram = sram_use();
    return result;
  }

  SramUse sram_use() const {
    SramUse use;
    const std::uint32_t base = config_.sram_base;
    // Without a known stack, what lies at and above the lowest stack pointer is taken for it.
    std::uint32_t stack_low = stack_bottom_;
    std::uint32_t stack_high = stack_top_;
    if (stack_high == 0 && lowest_sp_ != ~0u) {
      stack_low = lowest_sp_;
      stack_high = base + config_.sram_size;
    }
    bool any = false;
    for (std::uint32_t word = 0; word < config_.sram_size / 4; ++word) {
      if (memory_.written[word] == 0) continue;
      for (std::uint32_t byte = 0; byte < 4; ++byte) {
        if ((memory_.written[word] >> byte & 1u) == 0) continue;
        const std::uint32_t address = base + 4 * word + byte;
        ++use.bytes_written;
        if (address >= stack_low && address < stack_high) continue;
        ++use.bytes_written_outside_stack;
        if (!any) use.lowest_written = address;
        use.highest_written = address;
        any = true;
      }
    }
    if (lowest_sp_ != ~0u) {
      use.lowest_sp = lowest_sp_;
      if (stack_high > lowest_sp_) use.stack_bytes = stack_high - lowest_sp_;
    }
    return use;
  }

  SimulatorConfig config_;
  SystemMemory memory_;
  VerilatedContext context_;
  Vesp_soc top_;
  Observer* observer_ = nullptr;

  std::map<std::string, std::uint32_t, std::less<>> symbols_;
  std::map<std::uint32_t, std::string> functions_;
  std::uint32_t stack_bottom_ = 0;
  std::uint32_t stack_top_ = 0;

  std::uint64_t cycles_ = 0;
  std::uint64_t instructions_ = 0;
  std::uint32_t last_pc_ = 0;
  bool in_trap_ = false;
  bool sp_on_stack_ = false;
  std::uint32_t lowest_sp_ = ~0u;

  std::uint64_t last_retired_cycle_ = 0;
  Counts flash_cycles_;
  Counts sram_cycles_;
  Count other_;
};

Simulator::Simulator(const SimulatorConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Simulator::~Simulator() = default;
Simulator::Simulator(Simulator&&) noexcept = default;
Simulator& Simulator::operator=(Simulator&&) noexcept = default;

std::optional<std::string> Simulator::load_elf(std::span<const std::uint8_t> bytes) {
  return impl_->load_elf(bytes);
}
void Simulator::reset(std::uint32_t entry) { impl_->reset(entry); }
RunResult Simulator::run(std::uint64_t max_cycles) { return impl_->run(max_cycles); }
bool Simulator::read_memory(std::uint32_t address, std::span<std::uint8_t> bytes) const {
  return impl_->read_memory(address, bytes);
}
bool Simulator::write_memory(std::uint32_t address, std::span<const std::uint8_t> bytes) {
  return impl_->write_memory(address, bytes);
}
std::optional<std::uint32_t> Simulator::symbol(std::string_view name) const {
  return impl_->symbol(name);
}
void Simulator::set_stack(std::uint32_t bottom, std::uint32_t top) {
  impl_->set_stack(bottom, top);
}
const std::string& Simulator::console() const { return impl_->console(); }
std::vector<FunctionProfile> Simulator::profile() const { return impl_->profile(); }
void Simulator::set_observer(Observer* observer) { impl_->set_observer(observer); }

}  // namespace espalier::hw
