// SPDX-License-Identifier: MIT
#include "system_memory.hpp"

#include <array>
#include <bit>

namespace espalier::hw {
namespace {

// Offsets of the memory-mapped registers; esp_pkg.sv has the same list.
constexpr std::uint32_t kConsole = 0x00;
constexpr std::uint32_t kExit = 0x04;
constexpr std::uint32_t kTrapCause = 0x08;
constexpr std::uint32_t kTrapEpc = 0x0c;
constexpr std::uint32_t kTrapTval = 0x10;
constexpr std::uint32_t kTrapStop = 0x14;
constexpr std::uint32_t kFlashAt = 0x18;
constexpr std::uint32_t kFlashByte = 0x1c;

// A program that prints forever must not use up the memory of the host.
constexpr std::size_t kConsoleLimit = 16u << 20;

constexpr std::array<std::uint32_t, 16> kByteMasks = [] {
  std::array<std::uint32_t, 16> masks{};
  for (std::uint32_t lanes = 0; lanes < 16; ++lanes) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      if ((lanes >> i & 1u) != 0) masks[lanes] |= 0xffu << (8 * i);
    }
  }
  return masks;
}();

}  // namespace

void SystemMemory::store(std::uint32_t offset, std::uint32_t data, std::uint32_t byte_enables) {
  const std::uint32_t index = offset / 4;
  const std::uint32_t mask = kByteMasks[byte_enables & 15u];
  sram[index] = (sram[index] & ~mask) | (data & mask);
  written[index] = static_cast<std::uint8_t>(written[index] | byte_enables);
  // The convention of the RISC-V test suites: an odd value ends the program.
  if (offset == tohost_offset && (sram[index] & 1u) != 0) {
    exited = true;
    exit_code = sram[index] >> 1;
    stop = true;
  }
}

void SystemMemory::program_flash(std::uint8_t byte) {
  const std::uint32_t offset = flash_address++ - flash_base;
  if (offset < flash_size) flash.bytes()[offset] = byte;
}

void SystemMemory::write_register(std::uint32_t offset, std::uint32_t data) {
  switch (offset) {
    case kConsole:
      if (console.size() < kConsoleLimit) console.push_back(static_cast<char>(data & 0xffu));
      break;
    case kExit:
      exited = true;
      exit_code = data;
      stop = true;
      break;
    case kTrapCause:
      trap_cause = data;
      break;
    case kTrapEpc:
      trap_epc = data;
      break;
    case kTrapTval:
      trap_tval = data;
      break;
    case kTrapStop:
      trap_reported = true;
      stop = true;
      break;
    case kFlashAt:
      flash_address = data;
      break;
    case kFlashByte:
      program_flash(static_cast<std::uint8_t>(data & 0xffu));
      break;
    default:
      break;
  }
}

}  // namespace espalier::hw

namespace {

// The handle is the address of the memories, passed through the model as a number.
espalier::hw::SystemMemory& memory_of(unsigned long long handle) {
  return *std::bit_cast<espalier::hw::SystemMemory*>(static_cast<std::uintptr_t>(handle));
}

}  // namespace

// Called by esp_memory and esp_mmio.
extern "C" {

unsigned espalier_hw_read(unsigned long long handle, unsigned char region, unsigned offset) {
  espalier::hw::SystemMemory& memory = memory_of(handle);
  return region != 0 ? memory.sram[offset / 4] : memory.flash[offset / 4];
}

void espalier_hw_write(unsigned long long handle, unsigned offset, unsigned data,
                       unsigned byte_enables) {
  memory_of(handle).store(offset, data, byte_enables);
}

void espalier_hw_mmio(unsigned long long handle, unsigned offset, unsigned data) {
  memory_of(handle).write_register(offset, data);
}
}
