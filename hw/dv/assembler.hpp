// SPDX-License-Identifier: MIT
// Encodes instructions, for tests that build programs without a tool chain. Checks no ranges.
#pragma once

#include <cstdint>

namespace espalier::hw::dv {

using Word = std::uint32_t;

constexpr Word encode_r(Word funct7, Word rs2, Word rs1, Word funct3, Word rd, Word opcode) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr Word encode_i(std::int32_t imm, Word rs1, Word funct3, Word rd, Word opcode) {
  return static_cast<Word>(imm) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr Word encode_s(std::int32_t imm, Word rs2, Word rs1, Word funct3, Word opcode) {
  const Word bits = static_cast<Word>(imm);
  return (bits >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (bits & 0x1f) << 7 |
         opcode;
}
constexpr Word encode_b(std::int32_t offset, Word rs2, Word rs1, Word funct3) {
  const Word bits = static_cast<Word>(offset);
  return (bits >> 12 & 1) << 31 | (bits >> 5 & 0x3f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 |
         (bits >> 1 & 0xf) << 8 | (bits >> 11 & 1) << 7 | 0x63;
}

constexpr Word lui(Word rd, Word upper) { return (upper & 0xfffffu) << 12 | rd << 7 | 0x37; }
constexpr Word auipc(Word rd, Word upper) { return (upper & 0xfffffu) << 12 | rd << 7 | 0x17; }
constexpr Word addi(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 0, rd, 0x13); }
constexpr Word andi(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 7, rd, 0x13); }
constexpr Word add(Word rd, Word rs1, Word rs2) { return encode_r(0, rs2, rs1, 0, rd, 0x33); }
constexpr Word lw(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 2, rd, 0x03); }
constexpr Word lh(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 1, rd, 0x03); }
constexpr Word lbu(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 4, rd, 0x03); }
constexpr Word sw(Word rs2, Word rs1, std::int32_t imm) { return encode_s(imm, rs2, rs1, 2, 0x23); }
constexpr Word sh(Word rs2, Word rs1, std::int32_t imm) { return encode_s(imm, rs2, rs1, 1, 0x23); }
constexpr Word sb(Word rs2, Word rs1, std::int32_t imm) { return encode_s(imm, rs2, rs1, 0, 0x23); }
constexpr Word flw(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 2, rd, 0x07); }
constexpr Word fsw(Word rs2, Word rs1, std::int32_t imm) {
  return encode_s(imm, rs2, rs1, 2, 0x27);
}
constexpr Word beq(Word rs1, Word rs2, std::int32_t offset) {
  return encode_b(offset, rs2, rs1, 0);
}
constexpr Word bne(Word rs1, Word rs2, std::int32_t offset) {
  return encode_b(offset, rs2, rs1, 1);
}
constexpr Word jal(Word rd, std::int32_t offset) {
  const Word bits = static_cast<Word>(offset);
  return (bits >> 20 & 1) << 31 | (bits >> 1 & 0x3ff) << 21 | (bits >> 11 & 1) << 20 |
         (bits >> 12 & 0xff) << 12 | rd << 7 | 0x6f;
}
constexpr Word jalr(Word rd, Word rs1, std::int32_t imm) { return encode_i(imm, rs1, 0, rd, 0x67); }
constexpr Word csr(Word funct3, Word rd, Word address, Word operand) {
  return address << 20 | operand << 15 | funct3 << 12 | rd << 7 | 0x73;
}
constexpr Word csrrw(Word rd, Word address, Word rs1) { return csr(1, rd, address, rs1); }
constexpr Word csrrs(Word rd, Word address, Word rs1) { return csr(2, rd, address, rs1); }
constexpr Word csrrc(Word rd, Word address, Word rs1) { return csr(3, rd, address, rs1); }
constexpr Word pm4adda_b(Word rd, Word rs1, Word rs2) {
  return encode_r(0x46, rs2, rs1, 5, rd, 0x3b);
}
// `words`: the offset, 0 to 127, in words.
constexpr Word esp_lwdota_b(Word rd, Word rs2, Word words, Word rs1) {
  return encode_r(words, rs2, rs1, 0, rd, 0x0b);
}

inline constexpr Word kEcall = 0x0000'0073;
inline constexpr Word kEbreak = 0x0010'0073;
inline constexpr Word kMret = 0x3020'0073;
inline constexpr Word kWfi = 0x1050'0073;
inline constexpr Word kFence = 0x0ff0'000f;
inline constexpr Word kFenceI = 0x0000'100f;
inline constexpr Word kNop = 0x0000'0013;

// The two instructions of `li rd, value`.
constexpr Word li_upper(Word rd, Word value) { return lui(rd, (value + 0x800u) >> 12); }
constexpr Word li_lower(Word rd, Word value) {
  return addi(rd, rd, static_cast<std::int32_t>(value << 20) >> 20);
}

}  // namespace espalier::hw::dv
