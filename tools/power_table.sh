#!/usr/bin/env bash
# Prints what saving and loading costs a program that loses power again and again while it learns:
# the embedded default, its last three convs trained on five classes of Fashion-MNIST by the emitted C.
# Fails when a run does not end in the bits of the uninterrupted one.
#   [IMAGES=500] [PASSES=2] tools/power_table.sh
set -euo pipefail
cd "$(dirname "$0")/.."
tools/build.sh release espalier
espalier=build/release/espalier
model=profiles/models/fmnist-mbv2/fmnist-mbv2.onnx
data=/usr/share/datasets/fashion-mnist
classes=(0 2 3 4 6)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

files=()
for file in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
  gunzip -c "$data/$file-ubyte.gz" > "$work/$file"
  files+=("$work/$file")
done
"$espalier" plan make "$model" --last 3 --classes 5 --out "$work/plan.json" --quiet

# name, and options of compile
row() {
  local name=$1 every accuracy hash whole="" line=""
  shift
  "$espalier" compile "$model" --plan "$work/plan.json" --target host --classes 5 --name model \
    --preprocess auto --out "$work/c" --force --quiet "$@"
  cc -std=c99 -O2 -ffp-contract=off -I "$work/c" tools/power_cycles.c "$work"/c/model*.c -o "$work/run"
  for every in 0 100 10 1; do
    read -r accuracy hash < <("$work/run" "$every" "${IMAGES:-500}" "${PASSES:-2}" "${files[@]}" \
      "${classes[@]}")
    whole=${whole:-$hash}
    [ "$hash" = "$whole" ] || { echo "power_table: $name, every $every steps: other bits" >&2; exit 1; }
    line+=" $accuracy |"
  done
  echo "| $name |$line"
}
echo "| power lost, accuracy in % | never | every 100 steps | every 10 | every step |"
echo "|---|---|---|---|---|"
row "float32 gradients, rounded stochastically" --lr 1
row "float32 gradients, to nearest" --lr 1 --rounding nearest
row "float32 gradients, 7 samples an update" --lr 1 --accumulate 7
row "int8 gradients" --lr 1 --numerics integer
row "int8 gradients, 7 samples an update" --lr 1 --numerics integer --accumulate 7
