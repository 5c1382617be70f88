#!/usr/bin/env bash
# The largest published plan of each network that fits a board beside 4 KiB of stack, with the input
# by rows, gradients in int8 and ten classes: tools/fits_table.sh [FOLDER WITH THE MODELS] [DEVICE...]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
shift || true
devices=("$@")
((${#devices[@]})) || devices=(stm32f411 esp32-c3 stm32f746)
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

echo "| device | model | largest published plan | SRAM, bytes | flash for constants, bytes |"
echo "|---|---|---|---|---|"
for device in "${devices[@]}"; do
  for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
    best="none|-|-"
    # Ascending memory.
    while IFS=$'\t' read -r name notation; do
      "$espalier" plan import "$models/$model.onnx" --published "$notation" --out "$work/plan.json" \
        --quiet --force
      "$espalier" compile "$models/$model.onnx" --plan "$work/plan.json" --classes 10 \
        --numerics integer --input rows --device "$device" --json "$work/c.json" --quiet --force \
        2> "$work/why" || continue
      best="$(python3 tools/tables.py fits "$work/c.json" "$name")"
    done < <(python3 tools/tables.py published configs/sweep-cifar10.json "$model")
    echo "| $device | $model | ${best//|/ | } |"
  done
done
