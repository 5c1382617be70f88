#!/usr/bin/env bash
# What half of a contribution analysis is worth: measures all trials and the half that tells most
# (analyze --share 0.5), takes plans from both, adding up, with the half's gains believed, and trains
# them with five seeds each. Prints how long either takes, both accuracies and the mean difference,
# paired by seed.
#   tools/compare_shares.sh OUT MODEL TRAIN TEST BUDGET...
# TRAIN and TEST are files of CIFAR-10; 2,000 images train in the analysis, 1,500 judge, 5,000 train
# the plans. OUT keeps profiles, plans and trials; the analysis goes on from what is there, and its time is
# that of its trials, wherever they ran. Some fifteen minutes of processor time for the analysis of a
# published network, and four for each budget.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
[ $# -ge 5 ] || { sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
out=$1 model=$2 train=$3 test=$4
shift 4
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
mkdir -p "$out"
seeds=(0 1 2 3 4)
lut=lut=profiles/models/mcunetv3_input_lut.txt

for share in 1 0.5; do
  "$espalier" analyze "$model" --train "cifar10:$train" --limit-train 2000 --limit-val 1500 \
    --preprocess "$lut" --store "$out/trials" --share "$share" --out "$out/share-$share.json" \
    --quiet --force
done
python3 tools/tables.py share-times "$out" 1 0.5
for budget in "$@"; do
  for share in 1 0.5; do
    [[ $share == 1 ]] && gains=measured || gains=believed
    "$espalier" search "$out/share-$share.json" --model "$model" --budget "$budget" --solver exact \
      --gains "$gains" --out "$out/plan-$budget-$share.json" --quiet --force
    for seed in "${seeds[@]}"; do
      trained "$out/$budget-$share-$seed.json" "$model" --plan "$out/plan-$budget-$share.json" \
        --train "cifar10:$train" --limit-train 5000 --epochs 10 --test "cifar10:$test" --seed "$seed" \
        --preprocess "$lut"
    done
  done
  python3 tools/tables.py shares "$budget" "$out" "${seeds[@]}"
done
