#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles one program for the simulated system.
#
#   hw/sw/build.sh [-i] OUTPUT.elf SOURCE.c... [FLAG...]
#
# -i  integer only: rv32im and soft float instead of rv32imf
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
arch=(-march=rv32imf -mabi=ilp32f)
if [[ "${1:-}" == -i ]]; then
  # rv32im_zicsr would pick a C library that does not exist; the older ISA includes Zicsr.
  arch=(-march=rv32im -misa-spec=2.2 -mabi=ilp32)
  shift
fi
output="$1"
shift
exec "${ESPALIER_RISCV_GCC:-riscv64-unknown-elf-gcc}" --specs=picolibc.specs "${arch[@]}" \
  -O2 -fno-schedule-insns -funroll-loops -ffp-contract=off -nostartfiles -I"$here" \
  -T"$here/link.ld" "$here/crt0.S" "$here/espalier_io.c" "$@" -o "$output"
