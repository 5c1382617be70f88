// SPDX-License-Identifier: MIT
// espalier-sim: runs one RISC-V program on the simulated core and reports how it went.
//
// The program's console goes to standard output, the report to standard error. The exit status is
// the program's own exit code (at most 125), 126 if it did not exit, 127 if it could not be run.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "tb/memory_options.hpp"
#include "tb/simulator.hpp"

namespace {

using espalier::hw::FunctionProfile;
using espalier::hw::Outcome;
using espalier::hw::Retirement;
using espalier::hw::RunResult;
using espalier::hw::Simulator;
using espalier::hw::SimulatorConfig;

constexpr int kDidNotExit = 126;
constexpr int kCannotRun = 127;

struct Options {
  std::string program;
  std::uint64_t max_cycles = 1'000'000'000;
  std::string trace;
  std::string signature;
  std::string stats;
  std::uint32_t signature_granularity = 4;
  bool quiet = false;
  SimulatorConfig config;
};

// One line per instruction: cycle, pc, instruction, and what it did.
class Tracer : public espalier::hw::Observer {
 public:
  explicit Tracer(std::FILE* file) : file_(file) {}

  bool retired(const Retirement& r) override {
    std::fprintf(file_, "%10llu %08x %08x", static_cast<unsigned long long>(r.cycle), r.pc,
                 r.instruction);
    if (r.trapped) {
      std::fprintf(file_, " trap %s, value %08x",
                   std::string(espalier::hw::cause_name(r.cause)).c_str(), r.value);
    }
    if (r.writes_register) std::fprintf(file_, " x%d=%08x", r.rd, r.value);
    if (r.writes_float_register) std::fprintf(file_, " f%d=%08x", r.rd, r.value);
    if (r.float_result_follows) std::fprintf(file_, " f%d=...", r.rd);
    if (r.store_mask != 0) {
      std::fprintf(file_, " [%08x]=%08x/%x", r.memory_address, r.store_data, r.store_mask);
    }
    std::fputc('\n', file_);
    return true;
  }

  bool late_float(std::uint8_t rd, std::uint32_t value) override {
    std::fprintf(file_, "%*sf%d=%08x\n", 29, "", rd, value);
    return true;
  }

 private:
  std::FILE* file_;
};

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

// True if all of it has reached the file.
bool close(std::ofstream& out) {
  out.close();
  return !out.fail();
}

bool write_stats(const Options& options, const RunResult& result, const Simulator& simulator,
                 double seconds) {
  std::ofstream out(options.stats);
  out << "{\n  \"outcome\": " << json_string(to_string(result.outcome))
      << ",\n  \"description\": " << json_string(result.describe())
      << ",\n  \"exit_code\": " << result.exit_code << ",\n  \"trap\": {\"pc\": " << result.trap.pc
      << ", \"cause\": " << result.trap.cause << ", \"value\": " << result.trap.value
      << ", \"nested\": " << (result.trap.nested ? "true" : "false") << "}"
      << ",\n  \"cycles\": " << result.cycles << ",\n  \"instructions\": " << result.instructions
      << ",\n  \"cycles_per_instruction\": " << result.cycles_per_instruction()
      << ",\n  \"sram\": {\"bytes_written\": " << result.sram.bytes_written
      << ", \"bytes_written_outside_stack\": " << result.sram.bytes_written_outside_stack
      << ", \"lowest_written\": " << result.sram.lowest_written
      << ", \"highest_written\": " << result.sram.highest_written
      << ", \"lowest_sp\": " << result.sram.lowest_sp
      << ", \"stack_bytes\": " << result.sram.stack_bytes << "}"
      << ",\n  \"host_seconds\": " << seconds
      << ",\n  \"cycles_per_second\": " << static_cast<double>(result.cycles) / seconds
      << ",\n  \"functions\": [";
  const char* separator = "\n";
  for (const FunctionProfile& f : simulator.profile()) {
    out << separator << "    {\"name\": " << json_string(f.name) << ", \"address\": " << f.address
        << ", \"cycles\": " << f.cycles << ", \"instructions\": " << f.instructions << "}";
    separator = ",\n";
  }
  out << "\n  ]\n}\n";
  return close(out);
}

// What lies between begin_signature and end_signature, one word of hex digits per line.
bool write_signature(const Options& options, const Simulator& simulator) {
  const std::optional<std::uint32_t> begin = simulator.symbol("begin_signature");
  const std::optional<std::uint32_t> end = simulator.symbol("end_signature");
  if (!begin || !end || *end < *begin) {
    std::cerr << options.program << ": no symbols begin_signature and end_signature\n";
    return false;
  }
  const std::uint32_t size = *end - *begin;
  const bool fits = size <= std::max(options.config.sram_size, options.config.flash_size);
  std::vector<std::uint8_t> bytes(fits ? size : 0);
  if (!fits || !simulator.read_memory(*begin, bytes)) {
    std::cerr << options.program << ": the signature lies outside memory\n";
    return false;
  }
  std::ofstream out(options.signature);
  const std::size_t granularity = options.signature_granularity;
  for (std::size_t at = 0; at < bytes.size(); at += granularity) {
    for (std::size_t i = granularity; i-- > 0;) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x",
                    static_cast<unsigned>(at + i < bytes.size() ? bytes[at + i] : 0));
      out << digits;
    }
    out << '\n';
  }
  if (close(out)) return true;
  std::cerr << options.signature << ": cannot be written\n";
  return false;
}

void report(const Options& options, const RunResult& result, const Simulator& simulator,
            double seconds) {
  std::fprintf(stderr, "%s\n", result.describe().c_str());
  if (options.quiet) return;
  std::fprintf(stderr, "%llu cycles, %llu instructions, %.3f cycles per instruction\n",
               static_cast<unsigned long long>(result.cycles),
               static_cast<unsigned long long>(result.instructions),
               result.cycles_per_instruction());
  const auto& sram = result.sram;
  std::fprintf(stderr, "SRAM: %u bytes written, %u of them outside the stack", sram.bytes_written,
               sram.bytes_written_outside_stack);
  if (sram.bytes_written_outside_stack != 0) {
    std::fprintf(stderr, " (0x%08x to 0x%08x)", sram.lowest_written, sram.highest_written);
  }
  if (sram.lowest_sp != 0) {
    std::fprintf(stderr, "; lowest stack pointer 0x%08x, stack %u bytes", sram.lowest_sp,
                 sram.stack_bytes);
  }
  std::fprintf(stderr, "\n%.3f s, %.2f Mcycles/s\n", seconds,
               static_cast<double>(result.cycles) / seconds / 1e6);
  if (!options.config.profile) return;
  for (const FunctionProfile& f : simulator.profile()) {
    std::fprintf(stderr, "%12llu cycles %5.1f %% %12llu instructions  %s\n",
                 static_cast<unsigned long long>(f.cycles),
                 100.0 * static_cast<double>(f.cycles) / static_cast<double>(result.cycles),
                 static_cast<unsigned long long>(f.instructions), f.name.c_str());
  }
}

// Empty if the file cannot be read; a folder opens but does not read.
std::optional<std::vector<std::uint8_t>> read_program(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<std::uint8_t> bytes;
  std::array<char, 65536> buffer{};
  while (in.good()) {
    in.read(buffer.data(), buffer.size());
    bytes.insert(bytes.end(), buffer.data(), buffer.data() + in.gcount());
  }
  if (in.bad() || !in.eof()) return {};
  return bytes;
}

int run(Options& options) {
  const std::optional<std::vector<std::uint8_t>> bytes = read_program(options.program);
  if (!bytes) {
    std::cerr << options.program << ": cannot be read\n";
    return kCannotRun;
  }
  if (!options.stats.empty()) options.config.profile = true;
  Simulator simulator(options.config);
  if (const std::optional<std::string> error = simulator.load_elf(*bytes)) {
    std::cerr << options.program << ": " << *error << '\n';
    return kCannotRun;
  }

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> trace(nullptr, std::fclose);
  std::optional<Tracer> tracer;
  if (!options.trace.empty()) {
    trace.reset(std::fopen(options.trace.c_str(), "w"));
    if (!trace) {
      std::cerr << options.trace << ": cannot be written\n";
      return kCannotRun;
    }
    tracer.emplace(trace.get());
    simulator.set_observer(&*tracer);
  }

  // In slices, so that the console of a long run is seen while it runs.
  const auto start = std::chrono::steady_clock::now();
  constexpr std::uint64_t kSlice = 20'000'000;
  RunResult result;
  std::size_t printed = 0;
  do {
    result = simulator.run(std::min(options.max_cycles, result.cycles + kSlice));
    const std::string_view console = std::string_view(simulator.console()).substr(printed);
    std::fwrite(console.data(), 1, console.size(), stdout);
    std::fflush(stdout);
    printed += console.size();
  } while (result.outcome == Outcome::kCycleLimit && result.cycles < options.max_cycles);
  const double seconds = std::max(
      1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());

  report(options, result, simulator, seconds);
  if (trace && (std::fflush(trace.get()) != 0 || std::ferror(trace.get()) != 0)) {
    std::cerr << options.trace << ": cannot be written\n";
    return kCannotRun;
  }
  if (!options.stats.empty() && !write_stats(options, result, simulator, seconds)) {
    std::cerr << options.stats << ": cannot be written\n";
    return kCannotRun;
  }
  if (!options.signature.empty() && !write_signature(options, simulator)) return kCannotRun;
  if (result.outcome != Outcome::kExited) return kDidNotExit;
  return static_cast<int>(std::min<std::uint32_t>(result.exit_code, 125));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Runs a RISC-V program on the simulated Espalier core"};
  app.add_option("program", options.program, "32-bit RISC-V ELF executable")->required();
  app.add_option("--max-cycles", options.max_cycles, "Stop after so many cycles");
  app.add_option("--trace", options.trace, "Write every retired instruction to this file");
  app.add_option("--signature", options.signature,
                 "Write memory from begin_signature to end_signature to this file");
  app.add_option("--signature-granularity", options.signature_granularity,
                 "Bytes per line of the signature")
      ->check(CLI::Range(1u, 64u));
  app.add_option("--stats", options.stats,
                 "Write a JSON report to this file, with cycles per function");
  app.add_flag("--profile", options.config.profile, "Report cycles per function");
  app.add_flag("--quiet", options.quiet, "Report only how the program ended");
  app.add_flag_callback(
      "--nested-traps", [&] { options.config.stop_on_nested_trap = false; },
      "Go on after a trap inside a trap handler");
  espalier::hw::add_memory_options(app, options.config);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : kCannotRun;
  }
  if (const std::optional<std::string> error = check(options.config)) {
    std::cerr << *error << '\n';
    return kCannotRun;
  }
  return run(options);
}
