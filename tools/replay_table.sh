#!/usr/bin/env bash
# Prints what a replay memory is worth when the ten classes of CIFAR-10 come two by two, each image
# once: accuracy over the classes so far, mean and standard error over seeds. Trained as the device
# does. Goes on where it stopped when run again.
#   ESPALIER_SHARED=FOLDER [IMAGES=5000] [SEEDS="0 1 2"] tools/replay_table.sh OUT
# FOLDER/data holds models/ and cifar10/ (CONTRIBUTING.md, "Golden data").
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
[ $# -ge 1 ] || { sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
: "${ESPALIER_SHARED:?names the folder of the golden data}"
out=$1
data=$ESPALIER_SHARED/data
model=$data/models/mcunet-5fps.onnx
espalier=build/release/espalier
tools/build.sh release espalier
mkdir -p "$out"

# An eighth of the channels of three of the last six convs, and the biases of all six.
"$espalier" plan import "$model" --out "$out/plan.json" --quiet --force --published '{
  "n_bias_update": 6, "manual_weight_idx": [36, 37, 38, 39, 40, 41],
  "weight_update_ratio": [0.125, 0, 0, 0.125, 0.125, 0]}'

# name, and what is given to train
run() {
  local name=$1 seed
  shift
  for seed in ${SEEDS:-0 1 2}; do
    trained "$out/$name-$seed.json" "$model" --plan "$out/plan.json" --numerics device \
      --train "cifar10:$data/cifar10/train_10k.bin" --test "cifar10:$data/cifar10/test_2k.bin" \
      --limit-train "${IMAGES:-5000}" --epochs 1 --warmup 0 --schedule constant --lr 0.05 \
      --seed "$seed" --store "$out/trials" "$@"
  done
}
run none --classes-in-turn 2
for memory in 8 32 128; do
  run "$memory" --classes-in-turn 2 --replay "${memory}KiB"
done
run mixed
python3 tools/tables.py replay "$out"
