#!/usr/bin/env bash
# What ratios are worth offering: the published eighth, quarter, half and whole; fewer of them; every eighth;
# or a sixteenth, too. Measures all but the eighths between (one seed), takes plans for each set, adding up
# believed gains, which know what lies between measured ratios, and trains them. Prints objectives,
# accuracies and differences from the published set's, paired by seed.
#   [SEEDS="0 1 2 3 4"] tools/compare_ratios.sh OUT MODEL TRAIN TEST BUDGET...
# TRAIN and TEST are files of CIFAR-10; 2,000 images train in the analysis, 1,500 judge, 5,000 train the
# plans. OUT keeps the profile and its trials. Some 15 minutes of processor time for the analysis of a
# published network, and eight for each budget.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
[ $# -ge 5 ] || { sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
out=$1 model=$2 train=$3 test=$4
shift 4
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
mkdir -p "$out"
read -ra seeds <<< "${SEEDS:-0 1 2 3 4}"
lut=lut=profiles/models/mcunetv3_input_lut.txt
declare -A sets=(["published"]="0.125 0.25 0.5 1" ["1/4 and 1"]="0.25 1"
  ["eighths"]="0.125 0.25 0.375 0.5 0.625 0.75 0.875 1" ["1/16, too"]="0.0625 0.125 0.25 0.5 1")

"$espalier" analyze "$model" --train "cifar10:$train" --limit-train 2000 --limit-val 1500 --preprocess "$lut" \
  --ratios 0.0625,0.125,0.25,0.5,1 --store "$out/trials" --out "$out/profile.json" --quiet --force
echo "| budget | ratios | objective | published, % | these, % | above, points |"
echo "|---|---|---|---|---|---|"
for budget in "$@"; do
  for set in published "1/4 and 1" eighths "1/16, too"; do
    # shellcheck disable=SC2086  # words
    python3 tools/tables.py with-ratios "$out/profile.json" "$out/ratios.json" ${sets[$set]}
    kind=these
    [[ $set != published ]] || kind=published
    "$espalier" search "$out/ratios.json" --model "$model" --budget "$budget" --solver exact --gains believed \
      --out "$out/plan.json" --json "$out/search.json" --quiet --force
    for seed in "${seeds[@]}"; do
      # The same plan takes its training from the store.
      trained "$out/$kind-$seed.json" "$model" --plan "$out/plan.json" --train "cifar10:$train" \
        --limit-train 5000 --epochs 10 --lr 0.1 --test "cifar10:$test" --seed "$seed" \
        --preprocess "$lut" --store "$out/trials"
    done
    python3 tools/tables.py ratios "$budget" "$set" "$out" "$kind" "${seeds[@]}"
  done
done
