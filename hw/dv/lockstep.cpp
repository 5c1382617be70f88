// SPDX-License-Identifier: MIT
#include "dv/lockstep.hpp"

#include <cstdio>
#include <deque>
#include <utility>

#include "tb/elf.hpp"

namespace espalier::hw::dv {
namespace {

constexpr std::uint32_t kFlashBytes = 1u << 20;
constexpr std::uint32_t kSramBytes = 64u << 10;

std::string describe(const char* what, std::uint32_t core, std::uint32_t oracle) {
  char text[96];
  std::snprintf(text, sizeof text, "%s: core %08x, oracle %08x", what, core, oracle);
  return text;
}

std::uint32_t lanes(std::uint8_t mask, std::uint32_t data) {
  for (int i = 0; i < 4; ++i) {
    if ((mask >> i & 1) == 0) data &= ~(0xffu << 8 * i);
  }
  return data;
}

class Comparer : public Observer {
 public:
  Comparer(Iss& iss, LockstepResult& result) : iss_(iss), result_(result) {}

  bool retired(const Retirement& core) override {
    std::string difference = compare_sources(core);
    const Step oracle = iss_.step();
    if (difference.empty()) difference = compare(core, oracle);
    if (difference.empty()) difference = compare_interface(core);
    if (difference.empty()) return true;
    char text[96];
    std::snprintf(text, sizeof text,
                  "instruction %08x at pc %08x, cycle %llu: ", oracle.instruction, oracle.pc,
                  static_cast<unsigned long long>(core.cycle));
    result_.mismatch = text + difference;
    return false;
  }

  bool late_float(std::uint8_t rd, std::uint32_t value) override {
    ++result_.late_results;
    if (pending_.empty()) {
      result_.mismatch = "a float result that no instruction announced";
      return false;
    }
    const Pending expected = pending_.front();
    pending_.pop_front();
    if (expected.rd != rd || expected.value != value) {
      char text[96];
      std::snprintf(text, sizeof text,
                    "late result of instruction %08x at pc %08x: ", expected.instruction,
                    expected.pc);
      result_.mismatch = text + (expected.rd != rd ? describe("rd", rd, expected.rd)
                                                   : describe("value", value, expected.value));
      return false;
    }
    return true;
  }

 private:
  struct Pending {
    std::uint32_t pc;
    std::uint32_t instruction;
    std::uint8_t rd;
    std::uint32_t value;
  };

  // Registers that the core says it read, before the oracle changes them.
  std::string compare_sources(const Retirement& core) {
    for (std::size_t i = 0; i < core.sources.size(); ++i) {
      const Source& source = core.sources[i];
      const std::uint32_t value = iss_.integer_register(source.index);
      if (source.value != value) return describe("integer source", source.value, value);
      const Source& single = core.float_sources[i];
      const std::uint32_t single_value = iss_.float_register(single.index);
      if ((core.float_sources_used >> i & 1u) != 0 && single.value != single_value) {
        return describe("float source", single.value, single_value);
      }
    }
    return {};
  }

  // What the retire interface promises beyond the instruction itself.
  std::string compare_interface(const Retirement& core) {
    const bool after_trap = std::exchange(after_trap_, core.trapped);
    if (core.order != order_++) return "order: not the number of the instruction";
    if (core.first_of_handler != after_trap) return "intr: not the first of a handler";
    if (core.next_pc != iss_.pc()) return describe("next pc", core.next_pc, iss_.pc());
    if (core.trapped) {
      return (core.load_mask | core.store_mask | core.float_sources_used) == 0 ? "" : "trap: acts";
    }
    return compare_load(core);
  }

  static std::string compare_load(const Retirement& core) {
    const std::uint32_t opcode = core.instruction & 0x7fu;
    if (opcode == 0x0b) return compare_load_dot(core);
    const bool is_load = opcode == 0x03 || opcode == 0x07;
    if (!is_load) return core.load_mask == 0 ? "" : "load mask: not a load";
    const std::uint32_t address =
        core.sources[0].value +
        static_cast<std::uint32_t>(static_cast<std::int32_t>(core.instruction) >> 20);
    const std::uint32_t funct3 = core.instruction >> 12 & 7u;
    const std::uint32_t bytes = 1u << (funct3 & 3u);
    const std::uint32_t shift = address & 3u;
    const std::uint32_t mask = ((1u << bytes) - 1u) << shift;
    if (core.memory_address != (address & ~3u)) {
      return describe("load address", core.memory_address, address & ~3u);
    }
    if (core.load_mask != mask) return describe("load mask", core.load_mask, mask);
    // The value has been compared; the lanes have to be those that it came from.
    const std::uint32_t unused = 32u - 8u * bytes;
    const std::uint32_t left = core.load_data >> 8u * shift << unused;
    const std::uint32_t value =
        (funct3 & 4u) != 0 ? left >> unused
                           : static_cast<std::uint32_t>(static_cast<std::int32_t>(left) >> unused);
    const bool written = core.writes_register || core.writes_float_register;
    return written && value != core.value ? describe("load data", value, core.value) : "";
  }

  static std::string compare_load_dot(const Retirement& core) {
    const std::uint32_t address = core.sources[0].value + 4 * (core.instruction >> 25);
    if (core.memory_address != address) {
      return describe("load address", core.memory_address, address);
    }
    if (core.load_mask != 0xf) return describe("load mask", core.load_mask, 0xf);
    if (core.sources[2].index != (core.instruction >> 7 & 31u)) return "accumulator: not rd";
    const std::uint32_t value =
        byte_dot(core.sources[2].value, core.load_data, core.sources[1].value);
    return core.writes_register && value != core.value ? describe("load data", value, core.value)
                                                       : "";
  }

  std::string compare(const Retirement& core, const Step& oracle) {
    if (core.pc != oracle.pc) return describe("pc", core.pc, oracle.pc);
    if (core.trapped != oracle.trapped) {
      return core.trapped
                 ? describe("only the core trapped: cause, mtval", core.cause, core.value)
                 : describe("only the oracle trapped: cause, mtval", oracle.cause, oracle.value);
    }
    if (core.trapped) {
      ++result_.traps;
      if (core.cause != oracle.cause) return describe("cause", core.cause, oracle.cause);
      if (core.value != oracle.value) return describe("mtval", core.value, oracle.value);
      return {};
    }
    count(oracle.instruction);
    if (core.instruction != oracle.instruction) {
      return describe("instruction", core.instruction, oracle.instruction);
    }
    if (core.writes_register != oracle.writes_register) {
      return describe("integer write", core.writes_register, oracle.writes_register);
    }
    if ((core.writes_float_register || core.float_result_follows) != oracle.writes_float_register) {
      return describe("float write", core.writes_float_register, oracle.writes_float_register);
    }
    if (oracle.writes_register || oracle.writes_float_register) {
      if (core.rd != oracle.rd) return describe("rd", core.rd, oracle.rd);
      if (core.float_result_follows) {
        pending_.push_back({oracle.pc, oracle.instruction, oracle.rd, oracle.result});
      } else if (oracle.reads_cycles) {
        iss_.set_register(oracle.rd, core.value);
      } else if (core.value != oracle.result) {
        return describe("value", core.value, oracle.result);
      }
    }
    if (core.store_mask != oracle.store_mask) {
      return describe("store mask", core.store_mask, oracle.store_mask);
    }
    if (oracle.store_mask != 0) {
      if (core.memory_address != oracle.store_address) {
        return describe("store address", core.memory_address, oracle.store_address);
      }
      const std::uint32_t data = lanes(core.store_mask, core.store_data);
      if (data != oracle.store_data) return describe("store data", data, oracle.store_data);
    }
    return {};
  }

  void count(std::uint32_t instruction) {
    InstructionMix& mix = result_.mix;
    switch (instruction & 0x7f) {
      case 0x33:
        mix.multiply += instruction >> 25 == 1 ? 1 : 0;
        break;
      case 0x07:
      case 0x27:
      case 0x43:
      case 0x47:
      case 0x4b:
      case 0x4f:
      case 0x53:
        ++mix.floats;
        break;
      case 0x73:
        mix.csr += (instruction >> 12 & 3) != 0 ? 1 : 0;
        break;
      case 0x3b:
        ++mix.dot;
        break;
      case 0x0b:
        ++mix.load_dot;
        break;
      default:
        break;
    }
  }

  Iss& iss_;
  LockstepResult& result_;
  std::uint64_t order_ = 0;
  bool after_trap_ = false;
  std::deque<Pending> pending_;
};

IssConfig memories_of(const SimulatorConfig& config, const Extensions& extensions) {
  return {config.flash_base, config.flash_size, config.sram_base, config.sram_size, extensions};
}

void run(Simulator& simulator, Iss& iss, std::uint64_t max_cycles, LockstepResult& result) {
  Comparer comparer(iss, result);
  simulator.set_observer(&comparer);
  result.run = simulator.run(max_cycles);
}

}  // namespace

LockstepResult run_lockstep(const ElfImage& image, std::uint32_t entry, std::uint64_t max_cycles,
                            const Extensions& extensions, const MemoryTiming& timing) {
  LockstepResult result;
  SimulatorConfig config;
  config.timing = timing;
  config.flash_size = kFlashBytes;
  config.sram_size = kSramBytes;
  Simulator simulator(config);
  Iss iss(memories_of(config, extensions));
  for (const ElfImage::Segment& segment : image.segments) {
    if (!simulator.write_memory(segment.address, segment.bytes) ||
        !iss.write_memory(segment.address, segment.bytes)) {
      result.mismatch = "a segment lies outside memory";
      return result;
    }
  }
  simulator.reset(entry);
  iss.reset(entry);
  run(simulator, iss, max_cycles, result);
  return result;
}

LockstepResult run_lockstep(std::span<const std::uint8_t> elf, const SimulatorConfig& config,
                            std::uint64_t max_cycles, const Extensions& extensions) {
  LockstepResult result;
  Simulator simulator(config);
  Iss iss(memories_of(config, extensions));
  ElfFile file;
  std::optional<std::string> error = simulator.load_elf(elf);
  if (!error) error = read_elf(elf, file);
  if (error) {
    result.mismatch = *error;
    return result;
  }
  for (const ElfSegment& segment : file.segments) {
    // The simulator has taken the same segments, so they lie inside memory.
    (void)iss.write_memory(segment.address, {segment.bytes.begin(), segment.bytes.end()});
  }
  iss.reset(file.entry);
  run(simulator, iss, max_cycles, result);
  return result;
}

}  // namespace espalier::hw::dv
