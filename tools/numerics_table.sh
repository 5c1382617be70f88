#!/usr/bin/env bash
# Prints the processor time of training in the simulation's numerics, the device's and with integer
# gradients: published 100 KB plans on CIFAR-10, one thread.
#   tools/numerics_table.sh [NETWORK [OPTION...]]     default: mcunet-5fps; options of espalier_numerics
# Needs the reference data: ESPALIER_SHARED names its folder.
set -euo pipefail
cd "$(dirname "$0")/.."
data="${ESPALIER_SHARED:?set ESPALIER_SHARED to the folder with the reference data}/data"
network="${1:-mcunet-5fps}"
[[ $# -eq 0 ]] || shift
tools/build.sh release espalier_numerics
build/release/tests/bench/espalier_numerics "$data/models/$network.onnx" \
  --published "profiles/published/$network.json" --train "cifar10:$data/cifar10/train_10k.bin" "$@"
