// SPDX-License-Identifier: MIT
// espalier-fpu-check: every operation of the float unit against the oracle and the host.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "dv/fpu_bench.hpp"

int main(int argc, char** argv) {
  std::size_t count = 200'000;
  std::uint64_t seed = 1;
  std::string only;
  CLI::App app{"Compares the float unit with an oracle and with the host"};
  app.add_option("--count", count, "Operands per operation");
  app.add_option("--seed", seed, "Seed of the random operands");
  app.add_option("--only", only, "One operation, such as fmadd.s");
  CLI11_PARSE(app, argc, argv);

  int status = 0;
  for (const auto& operation : espalier::hw::dv::float_operations()) {
    if (!only.empty() && only != operation.name) continue;
    const auto comparison = espalier::hw::dv::compare_operation(operation, count, seed);
    if (comparison.mismatch.empty()) {
      std::printf("%-10s %llu agree with the oracle, %llu with the host\n", operation.name,
                  static_cast<unsigned long long>(comparison.compared_with_oracle),
                  static_cast<unsigned long long>(comparison.compared_with_host));
    } else {
      std::printf("%s\n", comparison.mismatch.c_str());
      status = 1;
    }
  }
  return status;
}
