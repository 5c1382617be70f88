// SPDX-License-Identifier: MIT
// The options of the command line that describe the memories, for every program that simulates.
#pragma once

#include <CLI/CLI.hpp>

#include "simulator.hpp"

namespace espalier::hw {

inline void add_memory_options(CLI::App& app, SimulatorConfig& config) {
  app.add_option("--mem-base", config.sram_base, "Base of the read-write memory");
  app.add_option("--sram-size,--mem-size", config.sram_size, "Bytes of the read-write memory");
  app.add_option("--flash-base", config.flash_base, "Base of the flash");
  app.add_option("--flash-size", config.flash_size, "Bytes of the flash");
  app.add_option("--flash-wait", config.timing.flash_wait,
                 "Cycles that a line of the flash takes beyond the first, 0 to 15");
  app.add_option("--flash-line", config.timing.flash_line_bytes,
                 "Bytes of a line of the flash, a power of two from 4 to 256");
  app.add_option("--sram-wait", config.timing.sram_wait,
                 "Cycles that an access to the SRAM takes beyond the first, 0 to 15");
  app.add_option("--random-wait", config.timing.random_seed,
                 "Let every access wait at random as well, by this seed; 0 = off");
}

}  // namespace espalier::hw
