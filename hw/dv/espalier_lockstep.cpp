// SPDX-License-Identifier: MIT
// espalier-lockstep: random programs on the core against the oracle, for as long as one likes, or
// programs from files.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "dv/lockstep.hpp"
#include "dv/program_generator.hpp"
#include "tb/memory_options.hpp"

namespace {

using espalier::hw::MemoryTiming;
using espalier::hw::Outcome;
using espalier::hw::SimulatorConfig;
using espalier::hw::dv::GeneratorOptions;
using espalier::hw::dv::LockstepResult;

struct Totals {
  std::uint64_t instructions = 0;
  std::uint64_t cycles = 0;
  std::uint64_t traps = 0;
  std::uint64_t late = 0;

  void add(const LockstepResult& result) {
    instructions += result.run.instructions;
    cycles += result.run.cycles;
    traps += result.traps;
    late += result.late_results;
  }
  void print() const {
    std::printf("%llu instructions, %llu cycles, %llu traps, %llu late float results agree\n",
                static_cast<unsigned long long>(instructions),
                static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(traps),
                static_cast<unsigned long long>(late));
  }
};

// True if both agree and the program ended.
bool report(const std::string& what, const LockstepResult& result) {
  if (result.mismatch.empty() && result.run.outcome != Outcome::kCycleLimit) return true;
  std::printf("%s: %s; %s\n", what.c_str(), result.mismatch.c_str(), result.run.describe().c_str());
  return false;
}

// Random programs have memories of their own; of `timing` each takes another seed.
int run_random(GeneratorOptions options, std::uint64_t programs, MemoryTiming timing) {
  Totals totals;
  for (std::uint64_t i = 0; i < programs; ++i, ++options.seed) {
    const auto program = espalier::hw::dv::generate_program(options);
    const auto result = espalier::hw::dv::run_lockstep(program.image, program.machine_entry,
                                                       100'000'000, {}, timing);
    if (timing.random_seed != 0) ++timing.random_seed;
    totals.add(result);
    if (!report("seed " + std::to_string(options.seed), result)) return 1;
  }
  totals.print();
  return 0;
}

int run_files(const std::vector<std::string>& files, const SimulatorConfig& config,
              std::uint64_t max_cycles) {
  Totals totals;
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(in)),
                                  std::istreambuf_iterator<char>());
    const auto result = espalier::hw::dv::run_lockstep(
        {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, config, max_cycles);
    totals.add(result);
    if (!report(file, result)) return 1;
    if (result.run.outcome != Outcome::kExited || result.run.exit_code != 0) {
      std::printf("%s: both agree, but it %s\n", file.c_str(), result.run.describe().c_str());
      return 1;
    }
  }
  totals.print();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  GeneratorOptions options;
  SimulatorConfig config;
  std::uint64_t programs = 10;
  std::uint64_t max_cycles = 10'000'000'000;
  std::vector<std::string> files;
  CLI::App app{"Compares the core with an instruction-set simulator, instruction by instruction"};
  app.add_option("files", files, "ELF executables that exit with 0, instead of random programs");
  app.add_option("--seed", options.seed, "Seed of the first random program");
  app.add_option("--programs", programs, "How many of them");
  app.add_option("--loops", options.loops, "Times that the body of a program runs");
  app.add_option("--body", options.body_instructions, "Instructions of a body, about");
  app.add_flag("!--integer", options.floats, "Leave float instructions out");
  app.add_flag("--load-dot", options.load_dot, "Draw esp.lwdota.b, too; not with --user");
  app.add_flag("--user", options.user_mode, "Only what user mode has");
  app.add_option("--max-cycles", max_cycles, "Of a program from a file");
  app.add_flag_callback(
      "--nested-traps", [&] { config.stop_on_nested_trap = false; },
      "Go on after a trap inside a trap handler");
  espalier::hw::add_memory_options(app, config);
  CLI11_PARSE(app, argc, argv);
  if (const std::optional<std::string> error = check(config)) {
    std::fprintf(stderr, "%s\n", error->c_str());
    return 2;
  }
  return files.empty() ? run_random(options, programs, config.timing)
                       : run_files(files, config, max_cycles);
}
