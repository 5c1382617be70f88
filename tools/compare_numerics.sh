#!/usr/bin/env bash
# Trains the published 100 KB plan of mcunet-5fps in the simulation's numerics and in the device's,
# on the same samples in the same order, and prints a table:
#   tools/compare_numerics.sh [SEEDS...]      default: 0
# Needs the reference data: ESPALIER_SHARED names its folder.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
data="${ESPALIER_SHARED:?set ESPALIER_SHARED to the folder with the reference data}/data"
seeds=("${@:-0}")
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
model="$data/models/mcunet-5fps.onnx"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$espalier" plan import "$model" --out "$work/plan.json" --quiet \
  --published profiles/published/mcunet-5fps.json

run() { # name, epochs, options...
  local name="$1" epochs="$2" accuracies=()
  shift 2
  for seed in "${seeds[@]}"; do
    trained "$work/out.json" "$model" --plan "$work/plan.json" --head fresh \
      --train "cifar10:$data/cifar10/train_10k.bin" --test "cifar10:$data/cifar10/test_2k.bin" \
      --limit-train 5000 --epochs "$epochs" --seed "$seed" "$@"
    accuracies+=("$(python3 tools/tables.py accuracy "$work/out.json")")
  done
  echo "| $name | $epochs | $(IFS=' '; echo "${accuracies[*]}") |"
}
echo "| numerics | epochs | test accuracy % by seed (${seeds[*]}) |"
echo "|---|---|---|"
run "simulation, batch 1" 2 --batch 1
run "device, nearest, one sample an update" 2 --numerics device --rounding nearest
run "device, stochastic, one sample an update" 2 --numerics device --rounding stochastic
run "simulation, batch 8" 3 --batch 8
run "device, nearest, 8 samples an update" 3 --numerics device --accumulate 8 --rounding nearest
run "device, stochastic, 8 samples an update" 3 --numerics device --accumulate 8 --rounding stochastic
run "simulation, batch 64" 10 --batch 64
run "device, nearest, 64 samples an update" 10 --numerics device --accumulate 64 --rounding nearest
run "device, stochastic, 64 samples an update" 10 --numerics device --accumulate 64 --rounding stochastic
