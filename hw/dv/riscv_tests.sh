#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs the suite riscv-tests on the simulated core and prints a table of the results.
#
#   hw/dv/riscv_tests.sh DIR [BUILD_DIR]
#
# DIR is a clone of github.com/riscv-software-src/riscv-tests with its submodule `env`. BUILD_DIR
# holds espalier-sim (default build/release/hw); OPTIONS in the environment are handed to it. Exit
# status: 0 if everything that applies passes, 1 if not, 77 (skipped) without the folder or the
# cross compiler.
set -euo pipefail
hw="$(cd "$(dirname "$0")/.." && pwd)"
suite="${1:-}"
sim="${2:-$hw/../build/release/hw}/espalier-sim"
compiler=riscv64-unknown-elf-gcc
skip() { echo "riscv_tests: skipped: $1"; exit 77; }
[[ -n $suite && -d $suite/isa ]] || skip "name the folder of riscv-tests (it has a folder isa)"
[[ -f $suite/env/p/riscv_test.h ]] || skip "$suite/env is empty: git submodule update --init env"
command -v "$compiler" >/dev/null || skip "$compiler is not installed"
[[ -x $sim ]] || skip "$sim is not built: tools/build.sh release espalier-sim"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# What the core has, and single tests of it that ask for more.
folders=(rv32ui rv32um rv32uf rv32mi)
exception() {
  case "$1" in
    rv32mi/breakpoint) echo "triggers of the debug extension are not implemented" ;;
    rv32mi/pmpaddr) echo "memory protection is not implemented" ;;
    rv32ui/ma_data) echo "needs misaligned loads and stores to succeed; they trap" ;;
    *) return 1 ;;
  esac
}
# Every other folder of 32-bit tests.
reason() {
  case "$1" in
    rv32ua) echo "atomic instructions" ;;
    rv32uc) echo "compressed instructions" ;;
    rv32ud) echo "double precision" ;;
    rv32uzfh) echo "half precision" ;;
    rv32up) echo "the rest of the packed-SIMD draft" ;;
    rv32si) echo "supervisor mode" ;;
    rv32uz*) echo "extension Z${1#rv32uz}" ;;
    *) echo "an extension that the core does not have" ;;
  esac
}

# build SOURCE OPTION...: work/test.elf
build() {
  "$compiler" -march=rv32imf -mabi=ilp32f -misa-spec=2.2 -static -mcmodel=medany \
    -fvisibility=hidden -nostdlib -nostartfiles -I"$suite/env/p" -I"$suite/isa/macros/scalar" \
    -T"$suite/env/p/link.ld" -o "$work/test.elf" "$@" 2>"$work/log"
}

# Traps inside handlers belong to some of the tests.
run() {
  "$sim" "$work/test.elf" --mem-base 0x80000000 --mem-size 0x200000 --nested-traps \
    --max-cycles 1000000 --quiet ${OPTIONS:-} 2>"$work/log"
}

# The assembler does not know the one instruction of the packed-SIMD draft that the core has.
cat >"$work/pm4adda.h" <<'END'
.macro pm4adda.b rd, rs1, rs2
.insn r OP_32, 5, 0x46, \rd, \rs1, \rs2
.endm
END

failures=()
exceptions=()
# row TITLE SOURCE...
row() {
  local title="$1" passed=0 failed=0 source name why
  shift
  for source in "$@"; do
    [[ -f $source ]] || continue
    name="$(basename "$(dirname "$source")")/$(basename "$source" .S)"
    if why="$(exception "$name")"; then
      exceptions+=("$name: $why")
    elif build -include "$work/pm4adda.h" "$source" && run; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      failures+=("$name: $(head -n 1 "$work/log")")
    fi
  done
  echo "| $title | $passed | $failed |"
}

printf '| tests | passed | failed |\n|---|---|---|\n'
for folder in "${folders[@]}"; do row "$folder" "$suite/isa/$folder"/*.S; done
row "rv32up, pm4adda.b alone" "$suite/isa/rv32up/pm4adda_b.S"

echo
for line in "${failures[@]}"; do echo "FAILED $line"; done
for line in "${exceptions[@]}"; do echo "does not apply: $line"; done
for folder in "$suite"/isa/rv32*/; do
  folder="$(basename "$folder")"
  [[ " ${folders[*]} " == *" $folder "* ]] || echo "does not apply: $folder: $(reason "$folder")"
done
((${#failures[@]} == 0))
