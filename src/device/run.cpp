#include "run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace espalier::device {

std::vector<std::uint8_t> from_hex(const std::string& hex, std::uint32_t bytes) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::uint8_t> values;
  for (std::uint32_t i = 0; i < bytes && 2 * i + 1 < hex.size(); ++i) {
    values.push_back(static_cast<std::uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1])));
  }
  return values;
}

Result<Run> parse_run(const std::string& text, const Folder& folder, int steps,
                      const Contents& contents) {
  const auto unreadable = [](std::string_view what) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("check: {} cannot be read from what the program printed", what)};
  };
  Run run;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind >> std::hex;
    if (kind == "recorded") {
      codegen::RecordedStep step;
      if (!(fields >> step.loss >> step.state)) return unreadable("a recorded step");
      run.recorded.push_back(step);
    } else if (kind == "state") {
      std::uint32_t hash = 0;
      if (!(fields >> hash)) return unreadable("the state");
      run.states.push_back(hash);
    } else if (kind == "step") {
      std::vector<std::uint32_t> bits;
      for (std::uint32_t value = 0; fields >> value;) bits.push_back(value);
      if (bits.size() != 1 + static_cast<std::size_t>(folder.classes)) return unreadable("a step");
      run.steps.push_back(std::move(bits));
    } else if (kind == "cost") {
      std::uint64_t cycles = 0;
      std::uint64_t instructions = 0;
      fields >> cycles >> instructions;
      run.cycles.push_back(cycles);
      run.instructions.push_back(instructions);
    } else if (kind == "node") {
      std::uint32_t node = 0;
      std::uint32_t hash = 0;
      fields >> node >> hash;
      run.trace.emplace_back(node, hash);
    } else if (kind == "took") {
      std::uint64_t spent = 0;
      if (!(fields >> spent)) return unreadable("what a node or a kernel took");
      run.took.push_back(spent);
    } else if (kind == "array") {
      std::string what;
      std::string last;
      std::uint32_t conv = 0;
      std::uint32_t bytes = 0;
      std::uint32_t element_bytes = 0;
      fields >> what >> conv >> bytes >> element_bytes >> last;
      const std::string name = array_name(what, conv);
      if (bytes > kLargestSize || element_bytes < 1) return unreadable(name);
      run.arrays[name] = {contents(last, bytes), element_bytes};
      run.order.push_back(name);
      if (run.arrays[name].bytes.size() != bytes) return unreadable(name);
    }
  }
  if (run.steps.size() != static_cast<std::size_t>(steps) ||
      run.states.size() != run.steps.size()) {
    return unreadable("every step");
  }
  // Otherwise a parameter would go without comparison.
  for (const std::string& name : folder.trained) {
    if (run.arrays.find(name) == run.arrays.end()) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: program.json says that {} is trained, and the C has no such "
                               "array; compile the folder again",
                               folder.name, name)};
    }
  }
  for (const std::string& name : run.order) {
    if (folder.trained.find(name) == folder.trained.end()) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: the C trains {}, and program.json does not say so; compile the "
                               "folder again",
                               folder.name, name)};
    }
  }
  return run;
}

std::string first_unrecorded(const Run& host, const Folder& folder) {
  const std::vector<codegen::RecordedStep>& recorded = folder.recorded.steps;
  for (std::size_t step = 0; step < recorded.size(); ++step) {
    if (step >= host.recorded.size()) return fmt::format("recorded step {}: missing", step);
    const codegen::RecordedStep& got = host.recorded[step];
    if (got == recorded[step]) continue;
    const bool loss = got.loss != recorded[step].loss;
    return fmt::format(
        "recorded step {}: {} is {:#010x} when the C runs on the host, {:#010x} when Espalier's "
        "host "
        "engine compiled it; the C was changed, or its compiler changes results",
        step, loss ? "loss" : "the hash of the state", loss ? got.loss : got.state,
        loss ? recorded[step].loss : recorded[step].state);
  }
  return "";
}

std::string first_difference(const Run& host, const Run& other, std::string_view machine) {
  for (std::size_t step = 0; step < host.steps.size(); ++step) {
    if (step >= other.steps.size()) return fmt::format("step {}: missing on {}", step, machine);
    const auto& a = host.steps[step];
    const auto& b = other.steps[step];
    if (a.size() != b.size()) return fmt::format("step {}: cannot be compared", step);
    // Logits come before the loss that is computed from them.
    for (std::size_t k = 1; k <= a.size(); ++k) {
      const std::size_t i = k % a.size();
      if (a[i] == b[i]) continue;
      return fmt::format("step {}: {} is {:#010x} on the host, {:#010x} on {}", step,
                         i == 0 ? "loss" : fmt::format("logits[{}]", i - 1), a[i], b[i], machine);
    }
  }
  for (const std::string& name : host.order) {
    const auto found = other.arrays.find(name);
    if (found == other.arrays.end()) return fmt::format("{}: missing on {}", name, machine);
    const std::vector<std::uint8_t>& a = host.arrays.at(name).bytes;
    const std::vector<std::uint8_t>& b = found->second.bytes;
    const auto size = std::min(a.size(), b.size());
    for (std::size_t i = 0; i < size; ++i) {
      if (a[i] == b[i]) continue;
      return fmt::format("{}[{}]: byte {} is {:#04x} on the host, {:#04x} on {}", name,
                         i / host.arrays.at(name).element_bytes, i, a[i], b[i], machine);
    }
    if (a.size() != b.size()) return fmt::format("{}: of another size on {}", name, machine);
  }
  // What no array shows: counters, sums of gradients.
  for (std::size_t step = 0; step < host.states.size(); ++step) {
    if (step < other.states.size() && other.states[step] == host.states[step]) continue;
    return fmt::format("step {}: the state is another on {} than on the host", step, machine);
  }
  return "";
}

}  // namespace espalier::device
