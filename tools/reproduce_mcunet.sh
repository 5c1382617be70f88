#!/usr/bin/env bash
# Reproduces the figures of docs/results.md on the published mcunet-5fps and CIFAR-10 (minutes to an hour):
#   tools/reproduce_mcunet.sh [--analyze] [OUT]
# Needs ESPALIER_SHARED, the folder with data/models and data/cifar10. Without --analyze, the
# contribution profile in profiles/models/mcunet-5fps is used instead of measuring it again.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
measure=no
if [[ "${1:-}" == --analyze ]]; then
  measure=yes
  shift
fi
out="${1:-build/reproduce}"
: "${ESPALIER_SHARED:?must name the folder with data/models and data/cifar10}"
data="$ESPALIER_SHARED/data"
espalier=build/release/espalier
model="$data/models/mcunet-5fps.onnx"
training=(--train "cifar10:$data/cifar10/train_10k.bin")
mkdir -p "$out"
tools/build.sh release espalier

profile=profiles/models/mcunet-5fps/contributions.json
if [[ $measure == yes ]]; then
  profile="$out/contributions.json"
  "$espalier" analyze "$model" "${training[@]}" --limit-train 2000 --limit-val 2000 --epochs 5 \
    --preprocess lut=profiles/models/mcunetv3_input_lut.txt --out "$profile"
fi

"$espalier" plan make "$model" --head-only --out "$out/head-only.json"
"$espalier" plan import "$model" --out "$out/published.json" \
  --published profiles/published/mcunet-5fps.json
"$espalier" search "$profile" --model "$model" --budget 100KiB --out "$out/found.json"
"$espalier" search "$profile" --model "$model" --budget 100KiB --metric accuracy \
  --out "$out/by-accuracy.json"
"$espalier" inspect "$model" --json "$out/inspect.json" --quiet
"$espalier" report "$profile" "$out/found.json" "$out/inspect.json" --out "$out/why"
node tools/draw_figure.mjs "$out/why/report.json" "$out/why.svg" weights-1 biases-1

for seed in 0 1 2; do
  for plan in head-only published found by-accuracy; do
    trained "$out/$plan.$seed.json" "$model" --plan "$out/$plan.json" "${training[@]}" \
      --test "cifar10:$data/cifar10/test_2k.bin" --config configs/published-recipe.toml \
      --schedule standard --seed "$seed"
  done
done

/usr/bin/python3 - "$out" <<'PYTHON'
import json, statistics, sys

print(f"{'update':<12}{'test accuracy over 3 seeds':>30}{'extra memory':>15}")
for name in ["head-only", "published", "found", "by-accuracy"]:
    results = []
    for seed in range(3):
        with open(f"{sys.argv[1]}/{name}.{seed}.json", encoding="utf-8") as file:
            results.append(json.load(file))
    memory = results[0]["plan"]["analytic_bytes"] / 1024
    each = ", ".join("diverged" if r["diverged"] else f"{r['test_accuracy'] * 100:.2f}" for r in results)
    accuracy = [r["test_accuracy"] * 100 for r in results if not r["diverged"]]
    if len(accuracy) < 2:
        print(f"{name:<12}{'':>10} ({each}){memory:>11.2f} KiB")
        continue
    error = statistics.stdev(accuracy) / len(accuracy) ** 0.5
    print(f"{name:<12}{statistics.mean(accuracy):>10.2f} +- {error:.2f} ({each}){memory:>11.2f} KiB")
PYTHON
