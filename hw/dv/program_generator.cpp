// SPDX-License-Identifier: MIT
#include "dv/program_generator.hpp"

#include <array>
#include <random>
#include <vector>

#include "dv/assembler.hpp"

namespace espalier::hw::dv {
namespace {

// Registers with a purpose; x1 to x27 are free.
constexpr Word kFreeRegisters = 27;
constexpr Word kResume = 28;   // where the trap handler goes after a jump to nowhere
constexpr Word kScratch = 29;  // the handler's, and addresses'
constexpr Word kCounter = 30;
constexpr Word kBase = 31;  // middle of the first half of the data

constexpr std::array<Word, 20> kFloats = {
    0x0000'0000, 0x8000'0000, 0x3f80'0000, 0xbf80'0000, 0x7f80'0000, 0xff80'0000, 0x7fc0'0000,
    0x7fa0'0000, 0x0000'0001, 0x8000'0001, 0x007f'ffff, 0x0080'0000, 0x7f7f'ffff, 0xff7f'ffff,
    0x3f00'0000, 0x4b80'0001, 0x4f00'0000, 0xcf00'0000, 0x4f80'0000, 0x3eff'ffff};
constexpr std::array<Word, 8> kIntegers = {0,           1,           0xffff'ffff, 0x8000'0000,
                                           0x7fff'ffff, 0x0000'8000, 0x0000'00ff, 0x5555'5555};

class Generator {
 public:
  explicit Generator(const GeneratorOptions& options) : options_(options), random_(options.seed) {}

  GeneratedProgram run() {
    emit_machine_start();
    const std::uint32_t user_entry = here();
    emit_registers();
    const std::uint32_t loop_start = here();
    for (int i = 0; i < options_.body_instructions; ++i) {
      if (i % 24 == 0) choose_registers();
      emit_something();
    }
    // A stretch that every forward jump may land in.
    for (int i = 0; i < 16; ++i) emit(kNop);
    emit(addi(kCounter, kCounter, -1));
    emit(beq(kCounter, 0, 8));
    emit(jal(0, static_cast<std::int32_t>(loop_start - here())));
    emit_end();

    GeneratedProgram program;
    program.machine_entry = kCodeAddress;
    program.image.entry = user_entry;
    program.image.segments.push_back({kCodeAddress, bytes_of(code_), false});
    program.image.segments.push_back({kDataAddress, bytes_of(data()), true});
    return program;
  }

 private:
  std::uint32_t here() const { return kCodeAddress + 4 * static_cast<std::uint32_t>(code_.size()); }
  void emit(Word instruction) { code_.push_back(instruction); }
  Word below(Word limit) { return static_cast<Word>(random_() % limit); }
  bool chance(Word percent) { return below(100) < percent; }

  Word source() { return chance(3) ? 0 : pool_[below(static_cast<Word>(pool_.size()))]; }
  Word target() { return chance(3) ? 0 : pool_[below(static_cast<Word>(pool_.size()))]; }
  Word float_register() { return float_pool_[below(static_cast<Word>(float_pool_.size()))]; }
  std::int32_t immediate() { return static_cast<std::int32_t>(below(4096)) - 2048; }
  // Static modes, dynamic, and rarely one that is illegal.
  Word rounding() {
    if (chance(50)) return 7;
    if (!options_.user_mode && chance(1)) return 5 + below(2);
    return below(5);
  }
  std::int32_t offset(std::int32_t size) { return immediate() / size * size; }

  Word interesting_word() {
    switch (below(6)) {
      case 0:
        return kIntegers[below(kIntegers.size())];
      case 1:
        return kFloats[below(kFloats.size())];
      case 2:  // a float of moderate size
        return (below(2) << 31) | (100 + below(56)) << 23 | below(1u << 23);
      case 3:  // near the smallest normal numbers
        return (below(2) << 31) | below(4) << 23 | below(1u << 23);
      default:
        return static_cast<Word>(random_());
    }
  }

  // Few registers at a time, so that instructions depend on each other.
  void choose_registers() {
    const Word count = 3 + below(6);
    pool_.assign(count, 0);
    for (Word& r : pool_) r = 1 + below(kFreeRegisters);
    float_pool_.assign(3 + below(6), 0);
    for (Word& r : float_pool_) r = below(32);
  }

  void emit_machine_start() {
    // The handler goes on behind the instruction that trapped; after a jump to nowhere, at kResume.
    const std::uint32_t handler = here() + 4 * 7;
    emit(li_upper(kScratch, handler));
    emit(li_lower(kScratch, handler));
    emit(options_.user_mode ? kNop : csrrw(0, 0x305, kScratch));
    emit(lui(kScratch, 2));  // mstatus.FS = initial
    emit(csrrs(0, 0x300, kScratch));
    emit(jal(0, 4 * 11));
    emit(kNop);
    emit(csrrs(kScratch, 0x342, 0));
    emit(addi(kScratch, kScratch, -1));
    emit(beq(kScratch, 0, 4 * 5));
    emit(csrrs(kScratch, 0x341, 0));
    emit(addi(kScratch, kScratch, 4));
    emit(csrrw(0, 0x341, kScratch));
    emit(kMret);
    emit(csrrw(0, 0x341, kResume));
    emit(kMret);
  }

  void emit_registers() {
    emit(li_upper(kBase, kDataAddress + 2048));
    emit(li_lower(kBase, kDataAddress + 2048));
    for (Word r = 1; r <= kFreeRegisters; ++r) {
      const Word value = interesting_word();
      emit(li_upper(r, value));
      emit(li_lower(r, value));
    }
    emit(addi(kResume, 0, 0));
    emit(addi(kCounter, 0, options_.loops));
    if (!options_.floats) return;
    for (Word r = 0; r < 32; ++r) emit(flw(r, kBase, static_cast<std::int32_t>(4 * r)));
  }

  void emit_end() {
    emit(li_upper(kScratch, kDataAddress + kSignatureOffset));
    emit(li_lower(kScratch, kDataAddress + kSignatureOffset));
    for (Word r = 0; r < 32; ++r) emit(sw(r, kScratch, static_cast<std::int32_t>(4 * r)));
    if (options_.floats) {
      for (Word r = 0; r < 32; ++r) emit(fsw(r, kScratch, static_cast<std::int32_t>(128 + 4 * r)));
      emit(csrrs(1, 0x003, 0));
      emit(sw(1, kScratch, 256));
    }
    if (options_.user_mode) {
      emit(addi(17, 0, 64));  // write
      emit(addi(10, 0, 1));
      emit(li_upper(11, kDataAddress));
      emit(li_lower(11, kDataAddress));
      emit(li_upper(12, kDataBytes));
      emit(li_lower(12, kDataBytes));
      emit(kEcall);
      emit(addi(17, 0, 93));  // exit
      emit(addi(10, 0, 0));
      emit(kEcall);
    } else {
      emit(lui(1, 0x10000));
      emit(sw(0, 1, 4));
    }
    emit(jal(0, 0));
  }

  void emit_something() {
    if (options_.load_dot && !options_.user_mode && chance(8)) {
      emit_load_dot();
      return;
    }
    const Word kind = below(100);
    if (options_.floats && kind >= 55) {
      emit_float();
    } else if (kind < 18) {
      emit_integer();
    } else if (kind < 25) {
      emit(encode_r(1, source(), source(), below(8), target(), 0x33));
    } else if (kind < 39) {
      emit_memory();
    } else if (kind < 48) {
      emit_jump();
    } else if (options_.user_mode) {
      emit_integer();
    } else if (kind < 51) {
      emit_dot();
    } else if (kind < 53) {
      emit_machine();
    } else if (kind < 54) {
      emit_trap();
    } else {
      emit_integer();
    }
  }

  // Every other time of bytes at an end of their range, as no random word has them: all four
  // products are then as large as they get.
  void emit_dot() {
    if (below(2) == 0) {
      emit(pm4adda_b(target(), source(), source()));
      return;
    }
    const Word ends = below(2) == 0 ? 0x8080'8080 : 0x7f7f'7f7f;
    emit(li_upper(kScratch, ends));
    emit(li_lower(kScratch, ends));
    emit(pm4adda_b(target(), kScratch, below(2) == 0 ? kScratch : source()));
  }

  // A load fused with the dot product, and often something behind it that has to wait for it or for
  // the unit.
  void emit_load_dot() {
    switch (below(16)) {
      case 0: {  // all four products as large as they get
        const Word words = below(128);
        const Word ends = below(2) == 0 ? 0x8080'8080 : 0x7f7f'7f7f;
        emit(li_upper(kScratch, ends));
        emit(li_lower(kScratch, ends));
        emit(sw(kScratch, kBase, static_cast<std::int32_t>(4 * words)));
        emit(esp_lwdota_b(target(), chance(50) ? kScratch : source(), words, kBase));
        break;
      }
      case 1:  // an address that depends on a register
        emit(andi(kScratch, source(), 0x7fc));
        emit(add(kScratch, kScratch, kBase));
        emit(addi(kScratch, kScratch, -1024));
        emit(esp_lwdota_b(target(), source(), below(128), kScratch));
        break;
      case 2:  // from the flash
        emit(auipc(kScratch, 0));
        emit(esp_lwdota_b(target(), source(), below(8), kScratch));
        break;
      case 3:  // from the registers of the test bench, and behind them
        emit(lui(kScratch, 0x10000));
        emit(esp_lwdota_b(target(), source(), below(8), kScratch));
        break;
      case 4:  // misaligned
        emit(addi(kScratch, kBase, immediate()));
        emit(esp_lwdota_b(target(), source(), below(128), kScratch));
        break;
      case 5:  // no memory: low addresses, and around the end of all
        emit(addi(kScratch, 0, -4 * static_cast<std::int32_t>(below(64))));
        emit(esp_lwdota_b(target(), source(), below(128), chance(50) ? kScratch : 0));
        break;
      case 6:  // not an instruction
        emit(esp_lwdota_b(target(), source(), below(128), kBase) | (1 + below(7)) << 12);
        break;
      case 7:  // an address that one left as it was
        emit(add(kScratch, kBase, 0));
        emit(esp_lwdota_b(kScratch, 0, below(128), kBase));
        emit(esp_lwdota_b(target(), source(), below(128), kScratch));
        break;
      default:  // several
        for (Word i = 1 + below(4); i > 0; --i) {
          emit(esp_lwdota_b(target(), source(), below(128), kBase));
        }
        break;
    }
    if (chance(40)) emit(pm4adda_b(target(), source(), source()));
    if (chance(30)) emit(encode_s(offset(4), source(), kBase, 2, 0x23));
  }

  void emit_integer() {
    switch (below(8)) {
      case 0:
        emit(lui(target(), below(1u << 20)));
        return;
      case 1:
        emit(auipc(target(), below(1u << 20)));
        return;
      case 2: {  // shifts by a constant
        const bool right = chance(60);
        const Word alternate = right && chance(50) ? 0x20 : 0;
        emit(encode_r(alternate, below(32), source(), right ? 5 : 1, target(), 0x13));
        return;
      }
      case 3:
      case 4: {
        static constexpr std::array<Word, 6> kFunct3 = {0, 2, 3, 4, 6, 7};
        emit(encode_i(immediate(), source(), kFunct3[below(6)], target(), 0x13));
        return;
      }
      default: {
        const Word funct3 = below(8);
        const Word alternate = (funct3 == 0 || funct3 == 5) && chance(50) ? 0x20 : 0;
        emit(encode_r(alternate, source(), source(), funct3, target(), 0x33));
        return;
      }
    }
  }

  void emit_memory() {
    if (chance(10)) {  // an address that depends on a register
      emit(andi(kScratch, source(), 0x7fc));
      emit(add(kScratch, kScratch, kBase));
      emit(chance(50) ? lw(target(), kScratch, -1024) : sw(source(), kScratch, -1024));
      return;
    }
    if (chance(4)) {  // constants and code can be read
      emit(auipc(kScratch, 0));
      emit(lw(target(), kScratch, 4 * static_cast<std::int32_t>(below(8))));
      return;
    }
    if (chance(55)) {
      static constexpr std::array<Word, 5> kFunct3 = {0, 1, 2, 4, 5};
      const Word funct3 = kFunct3[below(5)];
      emit(encode_i(offset(1 << (funct3 & 3)), kBase, funct3, target(), 0x03));
    } else {
      const Word funct3 = below(3);
      emit(encode_s(offset(1 << funct3), source(), kBase, funct3, 0x23));
    }
  }

  void emit_jump() {
    // Lands at most 8 instructions on. Sequences never start with an instruction that must not be
    // skipped, and a jump into the middle of one at worst uses an old kScratch inside the data or
    // traps; so only simple instructions are emitted below.
    const std::int32_t distance = 4 * (1 + static_cast<std::int32_t>(below(8)));
    static constexpr std::array<Word, 6> kFunct3 = {0, 1, 4, 5, 6, 7};
    switch (below(6)) {
      case 0:
        emit(jal(target(), distance));
        break;
      case 1: {
        const Word link = target();
        emit(auipc(kScratch, 0));
        emit(jalr(link, kScratch, distance + 4 + static_cast<std::int32_t>(below(2))));
        break;
      }
      default:
        emit(encode_b(distance, source(), source(), kFunct3[below(6)]));
        break;
    }
    for (std::int32_t i = 4; i < distance; i += 4) {
      if (chance(70)) {
        emit_integer();
      } else {
        emit(encode_r(1, source(), source(), below(4), target(), 0x33));
      }
    }
  }

  void emit_machine() {
    switch (below(10)) {
      case 0:
        emit(csr(1 + below(3), target(), 0x340, source()));
        return;
      case 1:
        emit(csr(5 + below(3), target(), 0x340, below(32)));
        return;
      case 2:
        emit(csrrs(target(), chance(50) ? 0xc02 : 0xb02, 0));
        return;
      case 3:
        emit(csrrs(target(), 0xc00 + below(2) + (chance(50) ? 0x80 : 0), 0));
        return;
      case 4:
        emit(csrrs(target(), chance(50) ? 0x300 : 0x301, 0));
        return;
      case 5:
        emit(csrrs(target(), 0x341 + below(3), 0));
        return;
      case 6: {
        static constexpr std::array<Word, 3> kAddresses = {0x342, 0x343, 0xb02};
        emit(csr(1 + below(3), target(), kAddresses[below(3)], source()));
        return;
      }
      case 7:
        emit(chance(50) ? kFence : kFenceI);
        return;
      case 8:
        emit(csr(2 + below(2), target(), 0x300, 0));  // reads only
        emit(csr(6 + below(2), 0, 0x300, below(2) * 8));
        return;
      default:
        emit(kWfi);
        return;
    }
  }

  void emit_trap() {
    switch (below(11)) {
      case 0:
        emit(kEcall);
        return;
      case 1:
        emit(kEbreak);
        return;
      case 2: {  // anything that is not an instruction
        static constexpr std::array<Word, 8> kWords = {0,           0xffff'ffff, 0x0000'0001,
                                                       0x0000'3003, 0x0000'3023, 0x0600'0033,
                                                       0x0000'4073, 0x0000'2063};
        emit(kWords[below(kWords.size())]);
        return;
      }
      case 3:
        emit(encode_i(immediate() | 1, kBase, chance(50) ? 1 : 2, target(), 0x03));
        return;
      case 4:
        emit(encode_s(immediate() | 1, source(), kBase, 1 + below(2), 0x23));
        return;
      case 5:
        emit(encode_i(offset(4), 0, 2, target(), 0x03));
        return;
      case 6:
        emit(encode_s(offset(4), source(), 0, below(3), 0x23));
        return;
      case 7:  // a store to flash
        emit(auipc(kScratch, 0));
        emit(sw(source(), kScratch, 0));
        return;
      case 8:  // jumps to nowhere
        emit(auipc(kResume, 0));
        emit(addi(kResume, kResume, 12));
        emit(jalr(target(), 0, offset(4)));
        return;
      case 9:  // jumps between instructions
        emit(auipc(kScratch, 0));
        emit(jalr(target(), kScratch, 2));
        return;
      default: {  // CSRs that do not exist or cannot be written
        static constexpr std::array<Word, 6> kAddresses = {0x7c0, 0xc00, 0xf14,
                                                           0x100, 0x3a0, 0xfff};
        emit(csr(1, target(), kAddresses[below(6)], source()));
        return;
      }
    }
  }

  void emit_float() {
    const Word kind = below(100);
    if (kind < 30) {  // multiply-adds
      static constexpr std::array<Word, 4> kOpcodes = {0x43, 0x47, 0x4b, 0x4f};
      emit(float_register() << 27 | float_register() << 20 | float_register() << 15 |
           rounding() << 12 | float_register() << 7 | kOpcodes[below(4)]);
    } else if (kind < 48) {  // add, subtract, multiply
      emit(encode_r(4 * below(3), float_register(), float_register(), rounding(), float_register(),
                    0x53));
    } else if (kind < 51) {
      emit(encode_r(0x0c, float_register(), float_register(), rounding(), float_register(), 0x53));
    } else if (kind < 53) {
      emit(encode_r(0x2c, 0, float_register(), rounding(), float_register(), 0x53));
    } else if (kind < 58) {
      emit(encode_r(0x10, float_register(), float_register(), below(3), float_register(), 0x53));
    } else if (kind < 63) {
      emit(encode_r(0x14, float_register(), float_register(), below(2), float_register(), 0x53));
    } else if (kind < 68) {
      emit(encode_r(0x50, float_register(), float_register(), below(3), target(), 0x53));
    } else if (kind < 72) {
      emit(encode_r(0x60, below(2), float_register(), rounding(), target(), 0x53));
    } else if (kind < 76) {
      emit(encode_r(0x68, below(2), source(), rounding(), float_register(), 0x53));
    } else if (kind < 79) {
      emit(encode_r(0x70, 0, float_register(), below(2), target(), 0x53));
    } else if (kind < 82) {
      emit(encode_r(0x78, 0, source(), 0, float_register(), 0x53));
    } else if (kind < 88) {
      emit(flw(float_register(), kBase, offset(4)));
    } else if (kind < 92) {
      emit(fsw(float_register(), kBase, offset(4)));
    } else if (kind < 96) {
      emit_float_csr();
    } else {
      // A fresh value, since long chains of operations end in NaN.
      const Word value = interesting_word();
      emit(li_upper(kScratch, value));
      emit(li_lower(kScratch, value));
      emit(encode_r(0x78, 0, kScratch, 0, float_register(), 0x53));
    }
  }

  void emit_float_csr() {
    switch (below(options_.user_mode ? 6 : 7)) {
      case 4:
      case 5: {
        // Flags of operations that are still under way. Elsewhere all flags are soon set.
        emit(csr(5, 0, 0x001, 0));
        emit(encode_r(4 * below(3), float_register(), float_register(), rounding(),
                      float_register(), 0x53));
        for (Word i = below(4); i > 0; --i) {
          chance(50) ? emit_integer()
                     : emit(encode_r(4 * below(4), float_register(), float_register(), rounding(),
                                     float_register(), 0x53));
        }
        emit(csrrs(target(), 0x001 + 2 * below(2), 0));
        return;
      }
      case 0:
        emit(csr(1 + below(3), target(), 0x001, source()));
        return;
      case 1:  // frm keeps a valid mode, or some programs would trap nearly always
        emit(csr(5, target(), 0x002, below(5)));
        return;
      case 2:
        emit(csrrs(target(), 0x003, 0));
        return;
      case 3:
        emit(csr(5 + below(3), target(), 0x001, below(32)));
        return;
      default:
        // Without FS every float instruction is illegal.
        emit(lui(kScratch, 6));
        emit(csrrc(target(), 0x300, kScratch));
        emit(encode_r(0, float_register(), float_register(), 0, float_register(), 0x53));
        emit(flw(float_register(), kBase, 0));
        emit(csrrs(target(), 0x003, 0));
        // The handler has used kScratch.
        emit(lui(kScratch, 2 * (1 + below(3))));
        emit(csrrs(target(), 0x300, kScratch));
        return;
    }
  }

  std::vector<Word> data() {
    std::vector<Word> words(kDataBytes / 4, 0);
    for (Word i = 0; i < kSignatureOffset / 4; ++i) words[i] = interesting_word();
    return words;
  }

  GeneratorOptions options_;
  std::mt19937_64 random_;
  std::vector<Word> code_;
  std::vector<Word> pool_{1, 2, 3};
  std::vector<Word> float_pool_{1, 2, 3};
};

}  // namespace

GeneratedProgram generate_program(const GeneratorOptions& options) {
  return Generator(options).run();
}

}  // namespace espalier::hw::dv
