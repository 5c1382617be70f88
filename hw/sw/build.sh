#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles one program for the simulated system.
#
#   hw/sw/build.sh [-i] OUTPUT.elf SOURCE.c... [FLAG...]
#
# -i  integer only: rv32im and soft float instead of rv32imf
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
flags="$here/../../src/codegen/flags" # those of the targets
target=rv32imf
if [[ "${1:-}" == -i ]]; then
  target=rv32im
  shift
fi
output="$1"
shift
exec "${ESPALIER_RISCV_GCC:-riscv64-unknown-elf-gcc}" "@$flags/language" "@$flags/$target" \
  -nostartfiles -I"$here" -T"$here/link.ld" "$here/crt0.S" "$here/espalier_io.c" "$@" -o "$output"
