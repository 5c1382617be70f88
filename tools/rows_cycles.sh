#!/usr/bin/env bash
# What running row by row costs: cycles of a training step on the simulated core, with int8 gradients
# and the published plans of about 100 KB, with maps as a whole, row by row, and the input by rows
# too. Every run is also a proof: the same bits as on the host, and no byte written but those
# promised. Some minutes. tools/rows_cycles.sh [FOLDER WITH THE MODELS]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Maps as a whole do not all fit the core's 256 KiB: a part with more memory, otherwise the same.
python3 tools/tables.py large-core profiles/devices/espalier-core.json "$work/large.json"
declare -A options=([whole]="--disable-pass stream" [resident]="" [rows]="--input rows")
for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
  "$espalier" plan import "$models/$model.onnx" --published "profiles/published/$model.json" \
    --out "$work/plan.json" --quiet
  for form in "${!options[@]}"; do
    # shellcheck disable=SC2086
    "$espalier" compile "$models/$model.onnx" --plan "$work/plan.json" --classes 10 \
      --numerics integer --target rv32imf+pm4adda.b ${options[$form]} --out "$work/$model-$form" \
      --quiet
    "$espalier" check "$work/$model-$form" --device "$work/large.json" --steps 1 --no-nodes --quiet \
      --json "$work/$model-$form.json"
  done
done
python3 tools/tables.py rows-cycles "$work"
