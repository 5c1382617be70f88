// What the driver printed on a machine, read back and compared.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "compiled_folder.hpp"

namespace espalier::device {

/// An array of parameters after the last step.
struct Array {
  std::vector<std::uint8_t> bytes;
  std::size_t element_bytes = 1;
};

struct Run {
  std::vector<std::vector<std::uint32_t>> steps;  ///< loss, then logits, as bits
  std::vector<std::uint32_t> states;              ///< hash of the state block after each step
  std::vector<std::uint64_t> cycles;              ///< of each step
  std::vector<std::uint64_t> instructions;
  std::map<std::string, Array> arrays;  ///< by name
  std::vector<std::string> order;       ///< of arrays
  /// Of the host alone: the steps that the folder has records of.
  std::vector<codegen::RecordedStep> recorded;
  /// Of a traced run: node and hash of all SRAM behind it, as they ran.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> trace;
  /// Of a timed run the cycles of each node, of a counted one the instructions of each kernel, over
  /// all steps.
  std::vector<std::uint64_t> took;
};

/// The bytes of an array from the last field of its line.
using Contents = std::function<std::vector<std::uint8_t>(const std::string&, std::uint32_t bytes)>;

/// Bytes from hexadecimal digits.
std::vector<std::uint8_t> from_hex(const std::string& hex, std::uint32_t bytes);

/// kMismatch when something cannot be read or a step is missing, kBadInput when the arrays are not
/// those that program.json says are trained.
Result<Run> parse_run(const std::string& text, const Folder& folder, int steps,
                      const Contents& contents);

/// The first step that differs from what the host engine recorded, named; empty when there is none.
std::string first_unrecorded(const Run& host, const Folder& folder);

/// The first difference between two runs, named; empty when there is none. `machine`: where the
/// other one ran.
std::string first_difference(const Run& host, const Run& other, std::string_view machine);

}  // namespace espalier::device
