#!/usr/bin/env bash
# Which input channels a plan should train: those of the largest norm, as published, those of the largest
# Fisher score (by gradients of single samples), or any, drawn anew for each seed. Trains each plan with
# each choice of as many channels, and prints accuracies and differences from the norm's, paired by seed.
#   [RECIPE="--epochs 10 --lr 0.1"] [SEEDS="0 1 2 3 4"] tools/compare_channels.sh MODEL TRAIN TEST PLAN...
# TRAIN and TEST are files of CIFAR-10, of which 5,000 images train; tools/compare_plans.sh leaves
# such files (OUT/data) and plans behind. Plans whose channels take turns are of no use: all have theirs. A
# plan takes some six minutes of processor time.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
[ $# -ge 4 ] || { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
model=$1 train=$2 test=$3
shift 3
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
read -ra seeds <<< "${SEEDS:-0 1 2 3 4}"
preprocess=lut=profiles/models/mcunetv3_input_lut.txt

"$espalier" analyze "$model" --train "cifar10:$train" --limit-train 2000 --limit-val 1000 --epochs 2 \
  --estimate --fisher --preprocess "$preprocess" --quiet --json "$work/scores.json"
echo "| plan | KiB | by norm, % | by gradient, % | above, points | at random, % | above, points |"
echo "|---|---|---|---|---|---|---|"
for plan in "$@"; do
  for seed in "${seeds[@]}"; do
    python3 tools/choose_channels.py "$plan" "$work/scores.json" "$seed" "$work"
    for kind in norm fisher random; do
      # shellcheck disable=SC2086  # words
      trained "$work/$kind-$seed.json" "$model" --plan "$work/$kind.json" --train "cifar10:$train" \
        --limit-train 5000 ${RECIPE:---epochs 10 --lr 0.1} --test "cifar10:$test" --seed "$seed" \
        --preprocess "$preprocess"
    done
  done
  python3 tools/tables.py channels "$(basename "$plan" .json)" "$work" "${seeds[@]}"
done
