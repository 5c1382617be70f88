#!/usr/bin/env bash
# What running row by row saves and costs: SRAM of training, all but the stack, of the published
# networks under their plans of about 100 KB and of the classifier alone, with the input resident and
# by rows, beside the same without the pass; and cycles a step of mcunet-5fps on the simulated core.
# Every run on the core is also a proof: the same bits as on the host. Some minutes.
#   tools/rows_table.sh [FOLDER WITH THE MODELS] [CLASSES]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
classes="${2:-10}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

forms=(whole resident rows)
declare -A options=([whole]="--disable-pass stream" [resident]="" [rows]="--input rows")
for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
  "$espalier" plan import "$models/$model.onnx" --published "profiles/published/$model.json" \
    --out "$work/plan.json" --quiet --force
  "$espalier" plan make "$models/$model.onnx" --head-only --out "$work/head.json" --quiet --force
  for form in "${forms[@]}"; do
    for what in device integer head; do
      plan="$work/plan.json" numerics="$what"
      [[ $what == head ]] && plan="$work/head.json" numerics=device
      # shellcheck disable=SC2086
      "$espalier" compile "$models/$model.onnx" --plan "$plan" --classes "$classes" \
        --numerics "$numerics" ${options[$form]} --json "$work/$model-$what-$form.json" --quiet
    done
  done
done
python3 tools/tables.py rows "$work"

echo
for form in "${forms[@]}"; do
  # shellcheck disable=SC2086
  "$espalier" compile "$models/mcunet-5fps.onnx" --plan "$work/plan.json" --classes "$classes" \
    --numerics integer --target rv32imf+pm4adda.b ${options[$form]} --out "$work/$form" --quiet
  "$espalier" check "$work/$form" --device espalier-core --steps 1 --no-nodes --quiet \
    --json "$work/$form.json"
done
python3 tools/tables.py rows-cycles "$work"
