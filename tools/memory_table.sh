#!/usr/bin/env bash
# Prints SRAM of training, stage by stage of the method, for the three published networks under their
# published plans of about 100 KB, and what of it the backward pass holds with gradients in float and in
# int8: tools/memory_table.sh [FOLDER WITH THE MODELS] [CLASSES]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
classes="${2:-10}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
  "$espalier" plan import "$models/$model.onnx" --published "profiles/published/$model.json" \
    --out "$work/plan.json" --quiet
  "$espalier" plan show "$work/plan.json" --model "$models/$model.onnx" --classes "$classes" \
    --json "$work/$model.json" --quiet
  for numerics in device integer; do
    "$espalier" compile "$models/$model.onnx" --plan "$work/plan.json" --classes "$classes" \
      --numerics "$numerics" --json "$work/$model-$numerics.json" --quiet
  done
done
python3 tools/tables.py memory "$work"
echo
python3 tools/tables.py backward "$work"
