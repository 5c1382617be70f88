#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs the suite riscv-arch-test on the simulated core, compares signatures and prints a
# table of the results.
#
#   hw/dv/arch_test.sh DIR [BUILD_DIR]
#
# DIR is a checkout of github.com/riscv-non-isa/riscv-arch-test. Signatures are compared with the
# references beside the tests, which releases up to 2.7.4 have, or with those of an installed Spike.
# A test that has neither runs in lockstep with the instruction-set simulator of this project, which
# is less: author and reader of the manual are the same. BUILD_DIR holds espalier-sim and
# espalier-lockstep (default build/release/hw); OPTIONS in the environment are handed to them. Exit
# status: 0 if everything agrees, 1 if not, 77 (skipped) without the folder or the cross compiler.
# A few minutes.
set -euo pipefail
hw="$(cd "$(dirname "$0")/.." && pwd)"
export suite="${1:-}/riscv-test-suite"
build="${2:-$hw/../build/release/hw}"
export sim="$build/espalier-sim"
export lockstep="$build/espalier-lockstep"
export compiler=riscv64-unknown-elf-gcc
skip() { echo "arch_test: skipped: $1"; exit 77; }
[[ -d $suite/rv32i_m ]] || skip "name the folder of riscv-arch-test (it has riscv-test-suite)"
command -v "$compiler" >/dev/null || skip "$compiler is not installed"
[[ -x $sim && -x $lockstep ]] ||
  skip "$build has no simulator: tools/build.sh release espalier-sim espalier-lockstep"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export work

groups=(I M F Zifencei privilege)
reason() {
  case "$1" in
    A | Zaamo | Zalrsc | Zacas) echo "atomic instructions" ;;
    B | K | Z[bk]*) echo "bit manipulation and cryptography" ;;
    C | Zc*) echo "compressed instructions" ;;
    D*) echo "double precision" ;;
    P*) echo "the whole packed-SIMD draft; the core has its pm4adda.b alone" ;;
    Zfh*) echo "half precision" ;;
    pmp*) echo "memory protection" ;;
    vm*) echo "supervisor mode" ;;
    *) echo "an extension that the core does not have" ;;
  esac
}
# Tests whose reference is that of a machine with compressed instructions, where an address between
# two words is none that traps.
is_compressed() { [[ $1 =~ ^misalign-(b[a-z]*|jal)-|^misalign2-jalr- ]]; }
export -f is_compressed

# What the suite wants to know about the machine it runs on.
cat >"$work/model_test.h" <<'END'
#define RVMODEL_BOOT
#define RVMODEL_HALT li t0, 1; la t1, tohost; 1: sw t0, 0(t1); sw x0, 4(t1); j 1b;
#define RVMODEL_DATA_SECTION \
  .pushsection .tohost, "aw", @progbits; .balign 64; .global tohost; tohost: .dword 0; \
  .balign 64; .global fromhost; fromhost: .dword 0; .popsection;
#define RVMODEL_DATA_BEGIN \
  RVMODEL_DATA_SECTION .balign 16; .global begin_signature; begin_signature:
#define RVMODEL_DATA_END .balign 16; .global end_signature; end_signature:
#define RVMODEL_IO_INIT
#define RVMODEL_IO_WRITE_STR(register, text)
#define RVMODEL_IO_CHECK()
#define RVMODEL_IO_ASSERT_GPR_EQ(scratch, register, value)
#define RVMODEL_IO_ASSERT_SFPR_EQ(scratch, register, value)
#define RVMODEL_IO_ASSERT_DFPR_EQ(scratch, register, value)
#define RVMODEL_SET_MSW_INT
#define RVMODEL_CLEAR_MSW_INT
#define RVMODEL_CLEAR_MTIMER_INT
#define RVMODEL_CLEAR_MEXT_INT
END
cat >"$work/link.ld" <<'END'
OUTPUT_ARCH(riscv)
ENTRY(rvtest_entry_point)
SECTIONS
{
  . = 0x80000000;
  .text.init : { *(.text.init) }
  .text : { *(.text) }
  . = ALIGN(0x1000);
  .tohost : { *(.tohost) }
  . = ALIGN(0x1000);
  .data : { *(.data) *(.data.*) }
  .bss : { *(.bss) }
}
END

# judge NAME SOURCE OUT: prints how the test went.
judge() {
  local name="$1" source="$2" out="$3" reference defines
  # A test says in comments which macros to define; the machine traps on misaligned data.
  defines="$(grep -h 'RVTEST_CASE(' "$source" | grep -o 'def [A-Za-z0-9_]*=[A-Za-z0-9_]*' |
    sort -u | sed 's/def /-D/')"
  # shellcheck disable=SC2086  # each definition is a word
  if ! "$compiler" -march=rv32imf -mabi=ilp32f -misa-spec=2.2 -static -mcmodel=medany \
    -nostdlib -nostartfiles -w -DXLEN=32 -DFLEN=32 $defines -I"$work" -I"$suite/env" \
    -T"$work/link.ld" "$source" -o "$out.elf" 2>"$out.log"; then
    echo "failed: does not build: $(grep -m 1 -i error "$out.log")"
    return
  fi
  local memory=(--mem-base 0x80000000 --mem-size 0x2000000 --nested-traps)
  reference="$(dirname "$(dirname "$source")")/references/$name.reference_output"
  local oracle=reference
  if [[ ! -f $reference ]] || is_compressed "$name"; then
    if command -v spike >/dev/null; then
      oracle=spike
      reference="$out.spike"
      spike --isa=rv32imf_zicsr_zifencei --priv=m +signature="$reference" \
        +signature-granularity=4 "$out.elf"
    else
      if "$lockstep" "$out.elf" "${memory[@]}" ${OPTIONS:-} >"$out.log" 2>&1; then
        echo lockstep
      else
        echo "failed: $(head -n 1 "$out.log")"
      fi
      return
    fi
  fi
  if ! "$sim" "$out.elf" "${memory[@]}" --quiet --signature "$out.signature" ${OPTIONS:-} \
    2>"$out.log"; then
    echo "failed: $(head -n 1 "$out.log")"
  # References may carry comments.
  elif diff <(sed 's/#.*//; s/[[:space:]]*$//' "$reference") "$out.signature" >"$out.log"; then
    echo "$oracle"
  else
    echo "failed: $(grep -c '^[<>]' "$out.log") lines differ, first: $(sed -n 2p "$out.log")"
  fi
}
export -f judge

# test_one SOURCE: judges it and cleans up.
test_one() {
  local source="$1" name group out
  name="$(basename "$source" .S)"
  group="${source#"$suite"/rv32i_m/}"
  out="$work/results/${group%%/*}/$name"
  judge "$name" "$source" "$out" >"$out.result"
  rm -f "$out.elf"
}
export -f test_one

echo '| tests | equal to the reference | equal to Spike | in lockstep alone | failed |'
echo '|---|---|---|---|---|'
for group in "${groups[@]}"; do
  [[ -d $suite/rv32i_m/$group/src ]] || continue
  mkdir -p "$work/results/$group"
  find "$suite/rv32i_m/$group/src" -name '*.S' -print0 | sort -z |
    xargs -0 -n 1 -P "${JOBS:-$(nproc)}" bash -c 'test_one "$0"'
  count() { cat "$work/results/$group"/*.result | grep -c "^$1" || true; }
  echo "| rv32i_m/$group | $(count reference) | $(count spike) | $(count lockstep) |" \
    "$(count failed) |"
done

echo
grep -r '^failed' "$work/results" --include='*.result' | sort |
  sed "s|^$work/results/|FAILED |; s|\.result:failed||" || true
for folder in "$suite"/rv32i_m/*/; do
  folder="$(basename "$folder")"
  [[ " ${groups[*]} " == *" $folder "* ]] || echo "does not apply: $folder: $(reason "$folder")"
done
! grep -rq '^failed' "$work/results" --include='*.result'
