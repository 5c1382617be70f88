#!/usr/bin/env bash
# Sets up, builds, and runs Espalier's main job on its embedded default: a network pre-trained on
# five Fashion-MNIST classes learns the other five within a memory budget.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
tools/build.sh release espalier

espalier=build/release/espalier
model=profiles/models/fmnist-mbv2/fmnist-mbv2.onnx
data=/usr/share/datasets/fashion-mnist
train="idx:$data/train-images-idx3-ubyte.gz,$data/train-labels-idx1-ubyte.gz"
test="idx:$data/t10k-images-idx3-ubyte.gz,$data/t10k-labels-idx1-ubyte.gz"
task=(--classes 0,2,3,4,6)  # T-shirt, pullover, dress, coat, shirt
recipe=(--batch 16 --lr 1)
budget="${1:-24KiB}"
out=build/demo
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

say "inspect: the model and what training it would cost"
"$espalier" inspect "$model"
"$espalier" inspect "$model" --json "$out/inspect.json" --quiet

say "analyze: what each part contributes (reduced: 1,000 images, 3 epochs, 2 ratios)"
"$espalier" analyze "$model" --train "$train" "${task[@]}" --limit-train 1000 --limit-val 1000 \
  --epochs 3 "${recipe[@]}" --ratios 0.25,1 --out "$out/contributions.json"

say "search: the best plan within $budget"
"$espalier" search "$out/contributions.json" --model "$model" --budget "$budget" \
  --out "$out/sparse.json"

say "train: head only, biases, last layers and the plan found, by one recipe"
"$espalier" plan make "$model" --head-only "${task[@]}" --out "$out/head-only.json"
"$espalier" plan make "$model" --bias 9 "${task[@]}" --out "$out/bias-only.json"
"$espalier" plan make "$model" --last 3 "${task[@]}" --out "$out/last-3.json"
for plan in head-only bias-only last-3 sparse; do
  "$espalier" train "$model" --plan "$out/$plan.json" --train "$train" --test "$test" "${task[@]}" \
    --limit-train 2000 --epochs 8 "${recipe[@]}" --quiet --json "$out/$plan.result.json"
done

say "compile: the plan found, as C for a RISC-V core, and its proof on the simulated core"
"$espalier" compile "$model" --plan "$out/sparse.json" --target rv32imf --classes 5 \
  --out "$out/firmware" --force --json "$out/compile.json"
"$espalier" check "$out/firmware" --steps 2 --json "$out/check.json"

say "result"
/usr/bin/python3 - "$out" <<'PYTHON'
import json, sys

print(f"{'update':<12}{'test accuracy':>15}{'extra memory':>15}")
for name in ["head-only", "bias-only", "last-3", "sparse"]:
    with open(f"{sys.argv[1]}/{name}.result.json", encoding="utf-8") as file:
        result = json.load(file)
    memory = result["plan"]["analytic_bytes"] / 1024
    print(f"{name:<12}{result['test_accuracy'] * 100:>13.2f} %{memory:>11.2f} KiB")
PYTHON

say "report: all of it on one page, to be opened in a browser"
"$espalier" report "$out" "$out/firmware/program.json" --title "Espalier demo" \
  --out "$out/report"
printf '\nThe page that shows why: %s\n' "$out/report/report.html"
