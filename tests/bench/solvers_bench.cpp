// espalier_solvers: what the exact solver and evolution take on random problems from the size of
// the published networks to far beyond, as a table; one thread.
#include <fmt/format.h>

#include <cstdlib>

#include "../search/random_problem.hpp"
#include "espalier/search/evolution.hpp"
#include "espalier/search/exact.hpp"

int main(int argc, char** argv) {
  using namespace espalier;
  const int seeds = argc > 1 ? std::atoi(argv[1]) : 3;
  fmt::print(
      "| layers | options | seed | exact, s | evolution, s | candidates costed | share of the "
      "optimum |\n|---|---|---|---|---|---|---|\n");
  for (const auto& [layers, options] : {std::pair{42, 4}, {60, 4}, {60, 32}, {480, 8}}) {
    for (int seed = 0; seed < seeds; ++seed) {
      const search::Problem problem =
          testing::random_problem(static_cast<std::uint64_t>(seed), layers, options, 1);
      const auto exact = search::solve_exact(problem);
      const auto evolved = search::solve_evolution(problem);
      if (!exact.ok() || !evolved.ok()) continue;
      fmt::print("| {} | {} | {} | {:.3f} | {:.2f} | {} | {:.2f} % |\n", layers, options, seed,
                 exact->seconds, evolved->seconds, evolved->evaluations,
                 100 * evolved->best.objective / exact->best.objective);
      std::fflush(stdout);
    }
  }
  return 0;
}
