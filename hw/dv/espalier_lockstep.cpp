// SPDX-License-Identifier: MIT
// espalier-lockstep: random programs on the core against the oracle, for as long as one likes.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "dv/lockstep.hpp"
#include "dv/program_generator.hpp"

int main(int argc, char** argv) {
  espalier::hw::dv::GeneratorOptions options;
  std::uint64_t programs = 10;
  CLI::App app{"Compares the core with an instruction-set simulator on random programs"};
  app.add_option("--seed", options.seed, "Seed of the first program");
  app.add_option("--programs", programs, "How many programs");
  app.add_option("--loops", options.loops, "Times that the body of a program runs");
  app.add_option("--body", options.body_instructions, "Instructions of a body, about");
  app.add_flag("!--integer", options.floats, "Leave float instructions out");
  app.add_flag("--user", options.user_mode, "Only what user mode has");
  CLI11_PARSE(app, argc, argv);

  std::uint64_t instructions = 0;
  std::uint64_t cycles = 0;
  std::uint64_t traps = 0;
  std::uint64_t late = 0;
  for (std::uint64_t i = 0; i < programs; ++i, ++options.seed) {
    const auto program = espalier::hw::dv::generate_program(options);
    const auto result =
        espalier::hw::dv::run_lockstep(program.image, program.machine_entry, 100'000'000);
    instructions += result.run.instructions;
    cycles += result.run.cycles;
    traps += result.traps;
    late += result.late_results;
    if (!result.mismatch.empty() || result.run.outcome == espalier::hw::Outcome::kCycleLimit) {
      std::printf("seed %llu: %s; %s\n", static_cast<unsigned long long>(options.seed),
                  result.mismatch.c_str(), result.run.describe().c_str());
      return 1;
    }
  }
  std::printf("%llu instructions, %llu cycles, %llu traps, %llu late float results agree\n",
              static_cast<unsigned long long>(instructions),
              static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(traps),
              static_cast<unsigned long long>(late));
  return 0;
}
