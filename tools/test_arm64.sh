#!/usr/bin/env bash
# Builds Espalier for 64-bit Arm, and runs what depends on the instruction set under qemu-aarch64:
# the tests of the kernels, and trainings and an analysis whose documents and networks must equal this
# machine's, all but the time they took.
#
#   tools/setup.sh --arm64    installs the cross compiler besides everything else
#   tools/test_arm64.sh
#
# The libraries come from Debian's arm64 packages. They are unpacked into build/arm64-sysroot and not
# installed: installing them would tie this machine's own packages to the same versions.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  libc6-dev libgomp1 libeigen3-dev libtbb-dev nlohmann-json3-dev libcli11-dev libspdlog-dev
  libfmt-dev libprotobuf-dev libonnx-dev libflatbuffers-dev libssl-dev zlib1g-dev libstb-dev
  libgtest-dev libgmock-dev libvalijson-dev
)
sysroot=build/arm64-sysroot
build=build/arm64
isas=(portable neon neondot)

if [[ ! -f $sysroot/packages || $(< "$sysroot/packages") != "${packages[*]}" ]]; then
  # Lists, state and cache of their own: this machine's packages are neither read nor changed.
  apt=$PWD/build/arm64-apt
  rm -rf "$sysroot" "$apt"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$sysroot"
  touch "$apt/status"
  options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
    -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o Debug::NoLocking=1)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install -y --download-only --no-install-recommends "${packages[@]}" \
    > /dev/null
  for archive in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$archive" "$sysroot"; done
  rm -rf "$apt"
  echo "${packages[*]}" > "$sysroot/packages"
fi

if [[ ! -f $build/build.ninja ]]; then
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake > "$build.configure.log"
fi
cmake --build "$build" --target kernels_test espalier
tools/build.sh release espalier

arm64=(qemu-aarch64 -cpu max -L "$sysroot")
"${arm64[@]}" "$build/tests/kernels/kernels_test" --gtest_brief=1

model=profiles/models/fmnist-mbv2/fmnist-mbv2.onnx
images=/usr/share/datasets/fashion-mnist
train="idx:$images/train-images-idx3-ubyte.gz,$images/train-labels-idx1-ubyte.gz"
test="idx:$images/t10k-images-idx3-ubyte.gz,$images/t10k-labels-idx1-ubyte.gz"
task=(--classes 0,2,3,4,6 --quiet)

# work FOLDER PROGRAM...: a training of everything in both numerics, and an analysis.
work() {
  local out=$1
  shift
  mkdir -p "$out"
  "$@" plan make "$model" --last 18 --out "$out/plan.json" > /dev/null
  for numerics in simulation device; do
    local update=(--batch 16)
    [[ $numerics = simulation ]] || update=(--accumulate 16)
    "$@" train "$model" --plan "$out/plan.json" --train "$train" --test "$test" "${task[@]}" \
      --limit-train 200 --limit-test 200 --epochs 2 "${update[@]}" --lr 0.1 --numerics "$numerics" \
      --export "$out/$numerics.onnx" --json "$out/$numerics.json"
  done
  "$@" analyze "$model" --train "$train" "${task[@]}" --limit-train 64 --limit-val 64 --epochs 1 \
    --batch 16 --lr 1 --ratios 0.25,1 --out "$out/analysis.json"
}

rm -rf "$build/documents"
work "$build/documents/x86-64" build/release/espalier
for isa in "${isas[@]}"; do
  ESPALIER_ISA=$isa work "$build/documents/$isa" "${arm64[@]}" "$build/espalier"
done
/usr/bin/python3 - "$build/documents" "${isas[@]}" << 'PYTHON'
import json, pathlib, sys


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "images_per_second")}
    if isinstance(value, list):
        return [timeless(v) for v in value]
    return value


def text(path):
    return json.dumps(timeless(json.loads(path.read_text(encoding="utf-8"))))


root, differ = pathlib.Path(sys.argv[1]), 0
for isa in sys.argv[2:]:
    for path in sorted(p for p in (root / "x86-64").iterdir() if p.is_file()):
        other = root / isa / path.name
        read = text if path.suffix == ".json" else pathlib.Path.read_bytes
        same = read(path) == read(other)
        differ += not same
        print(f"arm64 {isa:<9}{path.name:<18}{'equal' if same else 'DIFFERENT'}")
sys.exit(1 if differ else 0)
PYTHON
