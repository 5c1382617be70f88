// SPDX-License-Identifier: MIT
#include "dv/iss.hpp"

#include <cstring>

#include "dv/soft_float.hpp"

namespace espalier::hw::dv {
namespace {

constexpr std::uint32_t kMisalignedFetch = 0;
constexpr std::uint32_t kFetchFault = 1;
constexpr std::uint32_t kIllegal = 2;
constexpr std::uint32_t kBreakpoint = 3;
constexpr std::uint32_t kMisalignedLoad = 4;
constexpr std::uint32_t kLoadFault = 5;
constexpr std::uint32_t kMisalignedStore = 6;
constexpr std::uint32_t kStoreFault = 7;
constexpr std::uint32_t kEnvironmentCall = 11;

constexpr std::uint32_t kMmioBase = 0x1000'0000;
constexpr std::uint32_t kMmioSize = 32;  // eight registers of a word
constexpr std::uint32_t kMmioExit = 4;

std::uint32_t bits(std::uint32_t word, int high, int low) {
  return word >> low & ((2u << (high - low)) - 1u);
}
std::int32_t sign_extend(std::uint32_t value, int width) {
  return static_cast<std::int32_t>(value << (32 - width)) >> (32 - width);
}
std::uint32_t immediate_i(std::uint32_t i) {
  return static_cast<std::uint32_t>(sign_extend(bits(i, 31, 20), 12));
}
std::uint32_t immediate_s(std::uint32_t i) {
  return static_cast<std::uint32_t>(sign_extend(bits(i, 31, 25) << 5 | bits(i, 11, 7), 12));
}
std::uint32_t immediate_b(std::uint32_t i) {
  return static_cast<std::uint32_t>(sign_extend(
      bits(i, 31, 31) << 12 | bits(i, 7, 7) << 11 | bits(i, 30, 25) << 5 | bits(i, 11, 8) << 1,
      13));
}
std::uint32_t immediate_j(std::uint32_t i) {
  return static_cast<std::uint32_t>(sign_extend(
      bits(i, 31, 31) << 20 | bits(i, 19, 12) << 12 | bits(i, 20, 20) << 11 | bits(i, 30, 21) << 1,
      21));
}

std::uint32_t multiply_divide(std::uint32_t funct3, std::uint32_t a, std::uint32_t b) {
  const auto sa = static_cast<std::int64_t>(static_cast<std::int32_t>(a));
  const auto sb = static_cast<std::int64_t>(static_cast<std::int32_t>(b));
  switch (funct3) {
    case 0:
      return a * b;
    case 1:
      return static_cast<std::uint32_t>(sa * sb >> 32);
    case 2:
      return static_cast<std::uint32_t>(sa * static_cast<std::int64_t>(b) >> 32);
    case 3:
      return static_cast<std::uint32_t>(std::uint64_t{a} * b >> 32);
    case 4:
      return b == 0 ? ~0u : static_cast<std::uint32_t>(sa / sb);
    case 5:
      return b == 0 ? ~0u : a / b;
    case 6:
      return b == 0 ? a : static_cast<std::uint32_t>(sa % sb);
    default:
      return b == 0 ? a : a % b;
  }
}

}  // namespace

std::uint32_t byte_dot(std::uint32_t sum, std::uint32_t a, std::uint32_t b) {
  for (int i = 0; i < 32; i += 8) {
    const int product = static_cast<std::int8_t>(a >> i) * static_cast<std::int8_t>(b >> i);
    sum += static_cast<std::uint32_t>(product);
  }
  return sum;
}

Iss::Iss(const IssConfig& config)
    : config_(config), flash_(config.flash_size), sram_(config.sram_size) {
  reset(config.flash_base);
}

void Iss::reset(std::uint32_t entry) {
  x_ = {};
  f_ = {};
  pc_ = entry;
  fflags_ = frm_ = fs_ = 0;
  mie_ = mpie_ = false;
  mtvec_ = mepc_ = mcause_ = mtval_ = mscratch_ = 0;
  instret_ = 0;
  exited_ = false;
}

std::uint8_t* Iss::find(std::uint32_t address, std::uint32_t size, bool write) {
  const std::uint32_t sram_offset = address - config_.sram_base;
  if (sram_offset < config_.sram_size && size <= config_.sram_size - sram_offset) {
    return sram_.data() + sram_offset;
  }
  const std::uint32_t flash_offset = address - config_.flash_base;
  if (!write && flash_offset < config_.flash_size && size <= config_.flash_size - flash_offset) {
    return flash_.data() + flash_offset;
  }
  return nullptr;
}

bool Iss::write_memory(std::uint32_t address, const std::vector<std::uint8_t>& bytes) {
  std::uint8_t* to = find(address, static_cast<std::uint32_t>(bytes.size()), false);
  if (to == nullptr) return false;
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return true;
}

std::optional<std::uint32_t> Iss::load_word(std::uint32_t address) {
  const std::uint8_t* from = find(address, 4, false);
  if (from == nullptr) return {};
  std::uint32_t word = 0;
  for (int i = 3; i >= 0; --i) word = word << 8 | from[i];
  return word;
}

void Iss::set_register(std::uint8_t index, std::uint32_t value) {
  if (index != 0) x_[index] = value;
}

void Iss::write_x(Step& step, std::uint32_t rd, std::uint32_t value) {
  if (rd == 0) return;
  x_[rd] = value;
  step.writes_register = true;
  step.rd = static_cast<std::uint8_t>(rd);
  step.result = value;
}

void Iss::write_f(Step& step, std::uint32_t rd, std::uint32_t value) {
  f_[rd] = value;
  fs_ = 3;
  step.writes_float_register = true;
  step.rd = static_cast<std::uint8_t>(rd);
  step.result = value;
}

Step Iss::step() {
  Step step;
  step.pc = pc_;
  next_pc_ = pc_ + 4;
  counts_ = true;
  std::optional<Fault> fault;
  if (const std::optional<std::uint32_t> instruction = load_word(pc_)) {
    step.instruction = *instruction;
    fault = execute(*instruction, step);
  } else {
    fault = Fault{kFetchFault, pc_};
  }
  if (fault) {
    step.trapped = true;
    step.cause = fault->cause;
    step.value = fault->value;
    mepc_ = pc_;
    mcause_ = fault->cause;
    mtval_ = fault->value;
    mpie_ = mie_;
    mie_ = false;
    pc_ = mtvec_;
  } else {
    if (counts_) ++instret_;
    pc_ = next_pc_;
  }
  return step;
}

std::optional<Iss::Fault> Iss::execute(std::uint32_t i, Step& step) {
  const Fault illegal{kIllegal, i};
  const std::uint32_t rd = bits(i, 11, 7);
  const std::uint32_t funct3 = bits(i, 14, 12);
  const std::uint32_t a = x_[bits(i, 19, 15)];
  const std::uint32_t b = x_[bits(i, 24, 20)];
  const auto jump = [&](std::uint32_t target) -> std::optional<Fault> {
    if ((target & 3u) != 0) return Fault{kMisalignedFetch, target};
    next_pc_ = target;
    return {};
  };
  switch (bits(i, 6, 0)) {
    case 0x37:  // lui
      write_x(step, rd, i & 0xffff'f000);
      return {};
    case 0x17:  // auipc
      write_x(step, rd, pc_ + (i & 0xffff'f000));
      return {};
    case 0x6f: {  // jal
      if (const auto fault = jump(pc_ + immediate_j(i))) return fault;
      write_x(step, rd, pc_ + 4);
      return {};
    }
    case 0x67: {  // jalr
      if (funct3 != 0) return illegal;
      if (const auto fault = jump((a + immediate_i(i)) & ~1u)) return fault;
      write_x(step, rd, pc_ + 4);
      return {};
    }
    case 0x63: {  // branches
      const auto sa = static_cast<std::int32_t>(a);
      const auto sb = static_cast<std::int32_t>(b);
      bool taken = false;
      switch (funct3) {
        case 0:
          taken = a == b;
          break;
        case 1:
          taken = a != b;
          break;
        case 4:
          taken = sa < sb;
          break;
        case 5:
          taken = sa >= sb;
          break;
        case 6:
          taken = a < b;
          break;
        case 7:
          taken = a >= b;
          break;
        default:
          return illegal;
      }
      if (taken) return jump(pc_ + immediate_b(i));
      return {};
    }
    case 0x03:
    case 0x07:
      return execute_load(i, step);
    case 0x0b:
      return execute_load_dot(i, step);
    case 0x23:
    case 0x27:
      return execute_store(i, step);
    case 0x13:
      return execute_immediate(i, step);
    case 0x33:
      return execute_operation(i, step);
    case 0x3b:  // pm4adda.b
      if (!config_.extensions.dot_product || funct3 != 5 || bits(i, 31, 25) != 0x46) {
        return illegal;
      }
      write_x(step, rd, byte_dot(x_[rd], a, b));
      return {};
    case 0x0f:  // fence, fence.i
      if (funct3 > 1) return illegal;
      return {};
    case 0x73:
      return execute_system(i, step);
    case 0x43:
    case 0x47:
    case 0x4b:
    case 0x4f:
      return execute_fused(i, step);
    case 0x53:
      return execute_float(i, step);
    default:
      return illegal;
  }
}

// `size` bytes, not extended.
std::optional<Iss::Fault> Iss::load(std::uint32_t address, std::uint32_t size,
                                    std::uint32_t& value) {
  if (address % size != 0) return Fault{kMisalignedLoad, address};
  value = 0;
  if (const std::uint8_t* from = find(address, size, false)) {
    for (std::uint32_t n = size; n-- > 0;) value = value << 8 | from[n];
  } else if (address - kMmioBase >= kMmioSize) {
    return Fault{kLoadFault, address};
  }
  return {};
}

// esp.lwdota.b: a word, at an offset in words, times another.
std::optional<Iss::Fault> Iss::execute_load_dot(std::uint32_t i, Step& step) {
  const bool present = config_.extensions.dot_product && config_.extensions.load_dot;
  if (!present || bits(i, 14, 12) != 0) return Fault{kIllegal, i};
  std::uint32_t word = 0;
  if (const auto fault = load(x_[bits(i, 19, 15)] + 4 * bits(i, 31, 25), 4, word)) return fault;
  const std::uint32_t rd = bits(i, 11, 7);
  write_x(step, rd, byte_dot(x_[rd], word, x_[bits(i, 24, 20)]));
  return {};
}

std::optional<Iss::Fault> Iss::execute_load(std::uint32_t i, Step& step) {
  const bool is_float = bits(i, 6, 0) == 0x07;
  const std::uint32_t funct3 = bits(i, 14, 12);
  if (is_float ? (funct3 != 2 || fs_ == 0) : (funct3 == 3 || funct3 > 5)) return Fault{kIllegal, i};
  const std::uint32_t address = x_[bits(i, 19, 15)] + immediate_i(i);
  std::uint32_t value = 0;
  if (const auto fault = load(address, 1u << (funct3 & 3u), value)) return fault;
  if (funct3 == 0) value = static_cast<std::uint32_t>(sign_extend(value, 8));
  if (funct3 == 1) value = static_cast<std::uint32_t>(sign_extend(value, 16));
  if (is_float) {
    write_f(step, bits(i, 11, 7), value);
  } else {
    write_x(step, bits(i, 11, 7), value);
  }
  return {};
}

std::optional<Iss::Fault> Iss::execute_store(std::uint32_t i, Step& step) {
  const bool is_float = bits(i, 6, 0) == 0x27;
  const std::uint32_t funct3 = bits(i, 14, 12);
  if (is_float ? (funct3 != 2 || fs_ == 0) : funct3 > 2) return Fault{kIllegal, i};
  const std::uint32_t size = 1u << funct3;
  const std::uint32_t address = x_[bits(i, 19, 15)] + immediate_s(i);
  const std::uint32_t value = is_float ? f_[bits(i, 24, 20)] : x_[bits(i, 24, 20)];
  if (address % size != 0) return Fault{kMisalignedStore, address};
  if (std::uint8_t* to = find(address, size, true)) {
    for (std::uint32_t n = 0; n < size; ++n) to[n] = static_cast<std::uint8_t>(value >> 8 * n);
  } else if (address - kMmioBase < kMmioSize) {
    if ((address & ~3u) == kMmioBase + kMmioExit) exited_ = true;
  } else {
    return Fault{kStoreFault, address};
  }
  const std::uint32_t lane = address & 3u;
  step.store_address = address & ~3u;
  step.store_mask = static_cast<std::uint8_t>(((1u << size) - 1u) << lane);
  const std::uint32_t kept = size == 4 ? value : value & ((1u << 8 * size) - 1u);
  step.store_data = kept << 8 * lane;
  return {};
}

std::optional<Iss::Fault> Iss::execute_immediate(std::uint32_t i, Step& step) {
  const std::uint32_t a = x_[bits(i, 19, 15)];
  const std::uint32_t imm = immediate_i(i);
  const std::uint32_t shift = imm & 31u;
  const std::uint32_t funct7 = bits(i, 31, 25);
  std::uint32_t value = 0;
  switch (bits(i, 14, 12)) {
    case 0:
      value = a + imm;
      break;
    case 1:
      if (funct7 != 0) return Fault{kIllegal, i};
      value = a << shift;
      break;
    case 2:
      value = static_cast<std::int32_t>(a) < static_cast<std::int32_t>(imm) ? 1 : 0;
      break;
    case 3:
      value = a < imm ? 1 : 0;
      break;
    case 4:
      value = a ^ imm;
      break;
    case 5:
      if (funct7 == 0) {
        value = a >> shift;
      } else if (funct7 == 0x20) {
        value = static_cast<std::uint32_t>(static_cast<std::int32_t>(a) >> shift);
      } else {
        return Fault{kIllegal, i};
      }
      break;
    case 6:
      value = a | imm;
      break;
    default:
      value = a & imm;
      break;
  }
  write_x(step, bits(i, 11, 7), value);
  return {};
}

std::optional<Iss::Fault> Iss::execute_operation(std::uint32_t i, Step& step) {
  const std::uint32_t a = x_[bits(i, 19, 15)];
  const std::uint32_t b = x_[bits(i, 24, 20)];
  const std::uint32_t funct3 = bits(i, 14, 12);
  const auto sa = static_cast<std::int32_t>(a);
  std::uint32_t value = 0;
  switch (bits(i, 31, 25) << 3 | funct3) {
    case 0:
      value = a + b;
      break;
    case 0x20 << 3:
      value = a - b;
      break;
    case 1:
      value = a << (b & 31u);
      break;
    case 2:
      value = sa < static_cast<std::int32_t>(b) ? 1 : 0;
      break;
    case 3:
      value = a < b ? 1 : 0;
      break;
    case 4:
      value = a ^ b;
      break;
    case 5:
      value = a >> (b & 31u);
      break;
    case 0x20 << 3 | 5:
      value = static_cast<std::uint32_t>(sa >> (b & 31u));
      break;
    case 6:
      value = a | b;
      break;
    case 7:
      value = a & b;
      break;
    default:
      if (bits(i, 31, 25) != 1) return Fault{kIllegal, i};
      value = multiply_divide(funct3, a, b);
      break;
  }
  write_x(step, bits(i, 11, 7), value);
  return {};
}

std::optional<std::uint32_t> Iss::read_csr(std::uint32_t address, Step& step) const {
  switch (address) {
    case 0x001:
    case 0x002:
    case 0x003:
      if (fs_ == 0) return {};
      return address == 1 ? fflags_ : address == 2 ? frm_ : frm_ << 5 | fflags_;
    case 0x300:
      return (fs_ == 3 ? 1u << 31 : 0u) | fs_ << 13 | 3u << 11 | (mpie_ ? 1u << 7 : 0u) |
             (mie_ ? 1u << 3 : 0u);
    case 0x301:
      return 0x4000'1100 |  // RV32, M, I
             (config_.extensions.float_unit ? 1u << 5 : 0u) |
             (config_.extensions.dot_product ? 1u << 23 : 0u);
    case 0x305:
      return mtvec_;
    case 0x340:
      return mscratch_;
    case 0x341:
      return mepc_;
    case 0x342:
      return mcause_;
    case 0x343:
      return mtval_;
    case 0xb00:
    case 0xb80:
    case 0xc00:
    case 0xc80:
    case 0xc01:
    case 0xc81:
      step.reads_cycles = true;
      return 0;
    case 0xb02:
    case 0xc02:
      return static_cast<std::uint32_t>(instret_);
    case 0xb82:
    case 0xc82:
      return static_cast<std::uint32_t>(instret_ >> 32);
    case 0x304:  // mie
    case 0x344:  // mip
    case 0x310:  // mstatush
    case 0x320:  // mcountinhibit
    case 0xf11:
    case 0xf12:
    case 0xf13:
    case 0xf14:
    case 0xf15:
      return 0;
    default:
      break;
  }
  // Hardware performance monitors 3 to 31, all absent.
  for (const std::uint32_t base : {0x320u, 0xb00u, 0xb80u, 0xc00u, 0xc80u}) {
    if (address >= base + 3 && address <= base + 31) return 0;
  }
  return {};
}

void Iss::write_csr(std::uint32_t address, std::uint32_t value) {
  switch (address) {
    case 0x001:
      fflags_ = value & 31u;
      fs_ = 3;
      break;
    case 0x002:
      frm_ = value & 7u;
      fs_ = 3;
      break;
    case 0x003:
      fflags_ = value & 31u;
      frm_ = value >> 5 & 7u;
      fs_ = 3;
      break;
    case 0x300:
      // Without F the field stays 0, and with it every float instruction illegal.
      if (config_.extensions.float_unit) fs_ = value >> 13 & 3u;
      mie_ = (value >> 3 & 1u) != 0;
      mpie_ = (value >> 7 & 1u) != 0;
      break;
    case 0x305:
      mtvec_ = value & ~3u;
      break;
    case 0x340:
      mscratch_ = value;
      break;
    case 0x341:
      mepc_ = value & ~3u;
      break;
    case 0x342:
      mcause_ = value;
      break;
    case 0x343:
      mtval_ = value;
      break;
    case 0xb02:
      instret_ = (instret_ & ~std::uint64_t{0xffff'ffff}) | value;
      counts_ = false;
      break;
    case 0xb82:
      instret_ = (instret_ & 0xffff'ffff) | std::uint64_t{value} << 32;
      counts_ = false;
      break;
    default:
      break;
  }
}

std::optional<Iss::Fault> Iss::execute_system(std::uint32_t i, Step& step) {
  const std::uint32_t funct3 = bits(i, 14, 12);
  if (funct3 == 0) {
    switch (i) {
      case 0x0000'0073:
        return Fault{kEnvironmentCall, 0};
      case 0x0010'0073:
        return Fault{kBreakpoint, pc_};
      case 0x3020'0073:  // mret
        next_pc_ = mepc_;
        mie_ = mpie_;
        mpie_ = true;
        return {};
      case 0x1050'0073:  // wfi
        return {};
      default:
        return Fault{kIllegal, i};
    }
  }
  if (funct3 == 4) return Fault{kIllegal, i};
  const std::uint32_t address = bits(i, 31, 20);
  const std::uint32_t source = bits(i, 19, 15);
  const std::uint32_t operand = funct3 >= 4 ? source : x_[source];
  const bool writes = (funct3 & 3u) == 1 || source != 0;
  const std::optional<std::uint32_t> old = read_csr(address, step);
  if (!old || (writes && address >> 10 == 3)) {
    step.reads_cycles = false;
    return Fault{kIllegal, i};
  }
  if (writes) {
    switch (funct3 & 3u) {
      case 1:
        write_csr(address, operand);
        break;
      case 2:
        write_csr(address, *old | operand);
        break;
      default:
        write_csr(address, *old & ~operand);
        break;
    }
  }
  write_x(step, bits(i, 11, 7), *old);
  return {};
}

std::optional<Iss::Fault> Iss::execute_fused(std::uint32_t i, Step& step) {
  const std::uint32_t mode = bits(i, 14, 12) == 7 ? frm_ : bits(i, 14, 12);
  if (fs_ == 0 || bits(i, 26, 25) != 0 || mode > 4) return Fault{kIllegal, i};
  std::uint32_t a = f_[bits(i, 19, 15)];
  const std::uint32_t b = f_[bits(i, 24, 20)];
  std::uint32_t c = f_[bits(i, 31, 27)];
  constexpr std::uint32_t kSignBit = 0x8000'0000;
  switch (bits(i, 6, 0)) {
    case 0x47:  // a * b - c
      c ^= kSignBit;
      break;
    case 0x4b:  // -(a * b) + c
      a ^= kSignBit;
      break;
    case 0x4f:  // -(a * b) - c
      a ^= kSignBit;
      c ^= kSignBit;
      break;
    default:
      break;
  }
  const FloatResult result = multiply_add(a, b, c, static_cast<Rounding>(mode));
  fflags_ |= result.flags;
  write_f(step, bits(i, 11, 7), result.value);
  return {};
}

std::optional<Iss::Fault> Iss::execute_float(std::uint32_t i, Step& step) {
  const Fault illegal{kIllegal, i};
  if (fs_ == 0) return illegal;
  const std::uint32_t rd = bits(i, 11, 7);
  const std::uint32_t rs2 = bits(i, 24, 20);
  const std::uint32_t funct3 = bits(i, 14, 12);
  const std::uint32_t x = x_[bits(i, 19, 15)];
  const std::uint32_t a = f_[bits(i, 19, 15)];
  const std::uint32_t b = f_[rs2];
  const std::uint32_t mode = funct3 == 7 ? frm_ : funct3;
  const auto rounding = static_cast<Rounding>(mode);
  constexpr std::uint32_t kSignBit = 0x8000'0000;

  const auto float_result = [&](const FloatResult& result) -> std::optional<Fault> {
    fflags_ |= result.flags;
    write_f(step, rd, result.value);
    return {};
  };
  const auto int_result = [&](const FloatResult& result) -> std::optional<Fault> {
    fflags_ |= result.flags;
    fs_ = 3;
    write_x(step, rd, result.value);
    return {};
  };

  switch (bits(i, 31, 25)) {
    case 0x00:
      if (mode > 4) return illegal;
      return float_result(add(a, b, rounding));
    case 0x04:
      if (mode > 4) return illegal;
      return float_result(subtract(a, b, rounding));
    case 0x08:
      if (mode > 4) return illegal;
      return float_result(multiply(a, b, rounding));
    case 0x0c:
      if (mode > 4) return illegal;
      return float_result(divide(a, b, rounding));
    case 0x2c:
      if (mode > 4 || rs2 != 0) return illegal;
      return float_result(square_root(a, rounding));
    case 0x10:
      switch (funct3) {
        case 0:
          return float_result({(a & ~kSignBit) | (b & kSignBit), 0});
        case 1:
          return float_result({(a & ~kSignBit) | (~b & kSignBit), 0});
        case 2:
          return float_result({a ^ (b & kSignBit), 0});
        default:
          return illegal;
      }
    case 0x14:
      if (funct3 > 1) return illegal;
      return float_result(funct3 == 0 ? minimum(a, b) : maximum(a, b));
    case 0x50:
      if (funct3 > 2) return illegal;
      return int_result(funct3 == 0 ? less_or_equal(a, b) : funct3 == 1 ? less(a, b) : equal(a, b));
    case 0x60:
      if (mode > 4 || rs2 > 1) return illegal;
      return int_result(rs2 == 0 ? to_int(a, rounding) : to_unsigned(a, rounding));
    case 0x68:
      if (mode > 4 || rs2 > 1) return illegal;
      return float_result(rs2 == 0 ? from_int(x, rounding) : from_unsigned(x, rounding));
    case 0x70:
      if (rs2 != 0 || funct3 > 1) return illegal;
      // Neither touches float state.
      write_x(step, rd, funct3 == 0 ? a : classify(a));
      return {};
    case 0x78:
      if (rs2 != 0 || funct3 != 0) return illegal;
      return float_result({x, 0});
    default:
      return illegal;
  }
}

}  // namespace espalier::hw::dv
