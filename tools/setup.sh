#!/usr/bin/env bash
# Installs what Espalier is built and tested with, by Debian package name. Safe to run again.
#   tools/setup.sh          what building, testing and the demo need
#   tools/setup.sh --slow   also what some slow tests need: Yosys, Chromium, clang, Slurm, ONNX Runtime
#   tools/setup.sh --arm64  also the cross compiler that tools/test_arm64.sh needs
#   tools/setup.sh --train  also PyTorch, for tools/pretrain_embedded.py and tools/bench.sh
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build ccache git ca-certificates
  libeigen3-dev libtbb-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev
  libprotobuf-dev protobuf-compiler libonnx-dev libflatbuffers-dev flatbuffers-compiler libssl-dev
  zlib1g-dev libstb-dev libgtest-dev libgmock-dev libvalijson-dev
  gcc tcc make binutils libc6-dev
  verilator gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-user
  gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
  python3 dataset-fashion-mnist
)
if [[ "${1:-}" == --train ]]; then
  packages+=(python3-torch python3-onnx python3-numpy)
elif [[ "${1:-}" == --arm64 ]]; then
  packages+=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu)
elif [[ "${1:-}" == --slow ]]; then
  packages+=(yosys chromium clang slurm-wlm munge)
fi
# Where npm came from elsewhere, Debian's would be in its way.
command -v npm >/dev/null || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  as_root=()
  if ((EUID != 0)); then as_root=(sudo); fi
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
echo "setup: ${#packages[@]} packages present, ${#missing[@]} of them installed now"

if [[ "${1:-}" == --slow && ! -d node_modules/onnxruntime-node ]]; then
  npm install --prefix . --no-save --ignore-scripts --no-audit --no-fund --silent \
    onnxruntime-node@1.22.0 >/dev/null ||
    echo "setup: ONNX Runtime is not available; its tests will be skipped" >&2
fi

# What draws the figures of a report. It becomes part of the program when that is built.
figures=(vega@6.4.0 vega-lite@6.5.0 vega-embed@7.3.0)
stamp=build/npm/node_modules/installed
if [[ ! -f $stamp || "$(<"$stamp")" != "${figures[*]}" ]]; then
  mkdir -p build/npm
  if npm install --prefix build/npm --no-save --ignore-scripts --no-audit --no-fund --silent \
    "${figures[@]}" >/dev/null; then
    echo "${figures[*]}" >"$stamp"
  else
    echo "setup: Vega-Lite is not available; reports will hold tables, not figures" >&2
  fi
fi
