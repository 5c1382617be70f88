#!/usr/bin/env bash
# Trains plans in device numerics with gradients in float and in integers, on the same samples in the
# same order, and prints the mean difference with its standard error over seeds:
#   tools/compare_gradients.sh [SEEDS...]      default: 0 1 2 3 4
# The embedded default on Fashion-MNIST (none with EMBEDDED=no); with ESPALIER_SHARED, the folder with
# the reference data, also the published 100 KB plans on CIFAR-10, of all three networks or of those
# named in NETWORKS, where SAMPLES are the numbers of samples an update. Some fifteen minutes of
# processor time for the embedded default, and seven for a network.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/trained.sh
seeds=("${@:-0}")
[[ $# -gt 0 ]] || seeds=(0 1 2 3 4)
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

kinds=()  # of gradients: options behind --numerics
# name, model, plan, options of the data...: trains with each kind of gradients and each seed.
compare() {
  local name="$1" model="$2" plan="$3"
  shift 3
  for gradients in "${kinds[@]}"; do
    for seed in "${seeds[@]}"; do
      # shellcheck disable=SC2086  # two words
      trained "$work/${gradients##* }-$seed.json" "$model" --plan "$plan" --seed "$seed" "$@" \
        --numerics $gradients
    done
  done
  python3 tools/tables.py gradients "$name" "$work" "${seeds[@]}"
}

embedded() {
  local model=profiles/models/fmnist-mbv2/fmnist-mbv2.onnx fashion=/usr/share/datasets/fashion-mnist
  local data=(--train "idx:$fashion/train-images-idx3-ubyte.gz,$fashion/train-labels-idx1-ubyte.gz"
    --test "idx:$fashion/t10k-images-idx3-ubyte.gz,$fashion/t10k-labels-idx1-ubyte.gz"
    --classes 0,2,3,4,6 --limit-train 2000 --epochs 4)
  kinds=("device" "integer" "integer --gradient-bits 16")
  for plan in "--bias 9" "--last 3" "--full"; do
    # Training everything runs away at the rate that serves the others, with either kind.
    [[ $plan == --full ]] && rate=0.4 || rate=1
    # shellcheck disable=SC2086
    "$espalier" plan make "$model" $plan --classes 0,2,3,4,6 --out "$work/plan.json" --quiet --force
    for samples in 1 8 64; do
      compare "embedded default, $plan, $samples an update" "$model" "$work/plan.json" \
        "${data[@]}" --lr "$rate" --accumulate "$samples"
    done
  done
}

# The first half of the training file is trained on; accuracy is of the other half and the test file.
published() {
  local network="$1" shared image=3073 half=5000 epochs
  shared="${ESPALIER_SHARED:?set ESPALIER_SHARED to the folder with the reference data}/data"
  local model="$shared/models/$network.onnx" images="$shared/cifar10/train_10k.bin"
  head -c $((half * image)) "$images" > "$work/train.bin"
  tail -c +$((half * image + 1)) "$images" > "$work/test.bin"
  "$espalier" plan import "$model" --published "profiles/published/$network.json" \
    --out "$work/plan.json" --quiet --force
  kinds=("device" "integer")
  rm -f "$work"/16-*.json
  for samples in ${SAMPLES:-1 8 64}; do
    epochs=$((samples < 64 ? 2 : 4))
    compare "$network, published 100 KB plan, $samples an update" "$model" "$work/plan.json" \
      --head fresh --train "cifar10:$work/train.bin" \
      --test "cifar10:$work/test.bin,$shared/cifar10/test_2k.bin" --epochs "$epochs" \
      --accumulate "$samples"
  done
}

echo "| plan | float32, % | int8 - float32, points | int16 - float32, points |"
echo "|---|---|---|---|"
[[ ${EMBEDDED:-yes} == no ]] || embedded
networks="${NETWORKS-mcunet-5fps mbv2-w0.35 proxyless-w0.3}"
[[ -n ${ESPALIER_SHARED:-} || -n ${NETWORKS:-} ]] || networks=""
for network in $networks; do published "$network"; done
