#!/usr/bin/env bash
# Instructions a multiply-accumulate by kernel, and the memory, of a training step of mcunet-5fps with
# the published 100 KB plan on emulated Cortex-M parts, with gradients in float and in int8. Every run
# is also a proof: the same bits as on the host, within the SRAM promised and the STM32F746's 320 KiB.
# Some minutes. tools/boards_table.sh [FOLDER WITH THE MODELS]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
model="$models/mcunet-5fps.onnx"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$espalier" plan import "$model" --published profiles/published/mcunet-5fps.json \
  --out "$work/plan.json" --quiet
measure() { # target, numerics
  "$espalier" compile "$model" --plan "$work/plan.json" --classes 10 --target "$1" \
    --numerics "$2" --out "$work/$1-$2" --quiet
  "$espalier" check "$work/$1-$2" --steps 1 --no-nodes \
    --kernel-instructions --quiet --json "$work/$1-$2.json"
}
for target in cortex-m4f cortex-m7 cortex-m33 cortex-m55; do
  measure "$target" device
  measure "$target" integer
done
measure cortex-m0plus integer # floats of the others are in software there

python3 tools/tables.py boards "$work"
