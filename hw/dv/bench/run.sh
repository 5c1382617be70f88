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
mkdir "$work/blocked" "$work/lwdot" # as overlays go over each other
cp "$runtime"/blocked/* "$work/blocked"
cp "$runtime"/blocked/* "$work/lwdot"
cp "$runtime"/lwdot/* "$work/lwdot"
run_emitted() {
  local name="$1" overlay="$2" kernel sources=()
  shift 2
  for kernel in pointwise_forward depthwise_forward conv_forward pointwise_input_gradient \
    weight_gradient; do
    sources+=("$work/$overlay/esp_$kernel.c")
  done
  run "$name" "$work/program.elf" "$here/runtime_kernels.c" -I"$runtime" -I"$work/$overlay" \
    "${sources[@]}" "$@"
}
run_emitted "emitted kernels" blocked
run_emitted "emitted kernels, with pm4adda.b" blocked -DESP_DOT4
run_emitted "emitted kernels, with pm4adda.b and esp.lwdota.b" lwdot -DESP_DOT4
run "mixed program" "$work/program.elf" "$hw/sw/examples/mixed.c"
run "mixed program, soft float" -i "$work/program.elf" "$hw/sw/examples/mixed.c"
run "speed, integer code" "$work/program.elf" "$here/speed.c"
run "speed, float code" "$work/program.elf" "$here/speed.c" -DFLOAT
