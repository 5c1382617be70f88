#!/usr/bin/env bash
# What it brings that channels take turns: trains plans as they are and rotated, with five seeds each and
# the recipe that they carry, and prints both accuracies and the mean difference, paired by seed.
#   [RECIPE="--epochs 10 --lr 0.1"] tools/compare_turns.sh MODEL TRAIN TEST PLAN...
# TRAIN and TEST are files of CIFAR-10, of which 5,000 images train; tools/compare_plans.sh leaves
# plans and such files (OUT/data) behind. RECIPE is in place of what the plans carry. A plan takes some
# four minutes of processor time.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
[ $# -ge 4 ] || { sed -n '2,7p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
model=$1 train=$2 test=$3
shift 3
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
seeds=(0 1 2 3 4)

echo "| plan | KiB | rate | the same channels, % | in turns, % | above, points |"
echo "|---|---|---|---|---|---|"
for plan in "$@"; do
  "$espalier" plan rotate "$plan" --model "$model" --out "$work/turns.json" --quiet --force
  cp "$plan" "$work/same.json"
  for seed in "${seeds[@]}"; do
    for kind in same turns; do
      # shellcheck disable=SC2086  # words
      trained "$work/$kind-$seed.json" "$model" --plan "$work/$kind.json" --train "cifar10:$train" \
        --limit-train 5000 ${RECIPE:-} --test "cifar10:$test" --seed "$seed" \
        --preprocess lut=profiles/models/mcunetv3_input_lut.txt
    done
  done
  python3 tools/tables.py turns "$(basename "$plan" .json)" "$work" "${seeds[@]}"
done
