// Ctrl-C as a flag that long work polls, so that it can save its state and stop.
#pragma once

namespace espalier {

/// From now on SIGINT and SIGTERM set the flag; a second one ends the process at once.
void install_interrupt_handler();

/// True once the user has asked to stop.
[[nodiscard]] bool interrupted();

/// Sets the flag as a signal would, or clears it (tests).
void set_interrupted(bool value);

}  // namespace espalier
