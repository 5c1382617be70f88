#!/usr/bin/env bash
# What three boards have room for: the embedded default and the task of tools/demo.sh.
#   tools/fit_boards.sh [DEVICE,...]   default rp2040,stm32f411,nano33ble
# Needs what tools/setup.sh installs and tools/build.sh builds.
set -euo pipefail
cd "$(dirname "$0")/.."
data=/usr/share/datasets/fashion-mnist
build/release/espalier fit profiles/models/fmnist-mbv2/fmnist-mbv2.onnx \
  --train "idx:$data/train-images-idx3-ubyte.gz,$data/train-labels-idx1-ubyte.gz" \
  --test "idx:$data/t10k-images-idx3-ubyte.gz,$data/t10k-labels-idx1-ubyte.gz" \
  --classes 0,2,3,4,6 --limit-train 2000 --epochs 8 --batch 16 --lr 1 \
  --device "${1:-rp2040,stm32f411,nano33ble}" --out build/fit
