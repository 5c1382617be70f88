#!/usr/bin/env bash
# Configures and builds: tools/build.sh [PRESET [TARGET...]]
# PRESET is release (default), debug, asan-ubsan or tsan; without targets everything is built.
set -euo pipefail
cd "$(dirname "$0")/.."
preset="${1:-release}"
targets=()
for target in "${@:2}"; do targets+=(--target "$target"); done
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" "${targets[@]}" -- --quiet
