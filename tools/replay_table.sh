#!/usr/bin/env bash
# Prints what a replay memory is worth when the ten classes of CIFAR-10 come two by two:
#   tools/replay_table.sh [OPTION...]      options of espalier_replay, such as --memory 32KiB
# Needs the reference data: ESPALIER_SHARED names its folder.
set -euo pipefail
cd "$(dirname "$0")/.."
data="${ESPALIER_SHARED:?set ESPALIER_SHARED to the folder with the reference data}/data"
tools/build.sh release espalier_replay
build/release/tests/bench/espalier_replay "$data/models/mcunet-5fps.onnx" \
  --train "cifar10:$data/cifar10/train_10k.bin" --test "cifar10:$data/cifar10/test_2k.bin" "$@"
