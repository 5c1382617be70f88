#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prints cycles per multiply-accumulate of the kernels, cycles per instruction of small programs,
# and the speed of the simulation.
#
#   hw/dv/bench/run.sh [BUILD_DIR]      the folder that holds espalier-sim; default build/release/hw
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
hw="$(cd "$here/../.." && pwd)"
build="${1:-$hw/../build/release/hw}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

run() {
  local name="$1"
  shift
  "$hw/sw/build.sh" "$@"
  echo "== $name"
  "$build/espalier-sim" "$work/program.elf" 2>&1
}

# The kernels that the code generator emits.
runtime="$hw/../src/runtime"
emitted=("$here/runtime_kernels.c" -I"$runtime" -I"$runtime/blocked")
for kernel in pointwise_forward depthwise_forward conv_forward pointwise_input_gradient \
  weight_gradient; do
  emitted+=("$runtime/blocked/esp_$kernel.c")
done
run "emitted kernels" "$work/program.elf" "${emitted[@]}"
run "emitted kernels, with pm4adda.b" "$work/program.elf" "${emitted[@]}" -DESP_DOT4
run "mixed program" "$work/program.elf" "$hw/sw/examples/mixed.c"
run "mixed program, soft float" -i "$work/program.elf" "$hw/sw/examples/mixed.c"
run "speed, integer code" "$work/program.elf" "$here/speed.c"
run "speed, float code" "$work/program.elf" "$here/speed.c" -DFLOAT
