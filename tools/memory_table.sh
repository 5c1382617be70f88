#!/usr/bin/env bash
# Prints SRAM of training, all but the stack, for the three published networks under their published
# plans of about 100 KB: stage by stage of the method; what of it the backward pass holds with
# gradients in float and in int8; and with maps as a whole, row by row, and the input by rows too,
# also of training the classifier alone: tools/memory_table.sh [FOLDER WITH THE MODELS] [CLASSES]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
classes="${2:-10}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

declare -A options=([whole]="--disable-pass stream" [resident]="" [rows]="--input rows")
for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
  "$espalier" plan import "$models/$model.onnx" --published "profiles/published/$model.json" \
    --out "$work/plan.json" --quiet
  "$espalier" plan make "$models/$model.onnx" --head-only --out "$work/head.json" --quiet
  "$espalier" plan show "$work/plan.json" --model "$models/$model.onnx" --classes "$classes" \
    --json "$work/$model.json" --quiet
  for form in "${!options[@]}"; do
    for what in device integer head; do
      plan="$work/plan.json" numerics="$what"
      [[ $what == head ]] && plan="$work/head.json" numerics=device
      # shellcheck disable=SC2086
      "$espalier" compile "$models/$model.onnx" --plan "$plan" --classes "$classes" \
        --numerics "$numerics" ${options[$form]} --json "$work/$model-$what-$form.json" --quiet
    done
  done
done
python3 tools/tables.py memory "$work"
echo
python3 tools/tables.py backward "$work"
echo
python3 tools/tables.py rows "$work"
