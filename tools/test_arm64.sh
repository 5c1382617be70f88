#!/usr/bin/env bash
# Builds Espalier for 64-bit Arm, and runs what depends on the instruction set under qemu-aarch64:
# the tests of the kernels, and a training and an analysis whose documents must equal this machine's
# but for time and place.
#
#   tools/setup.sh --arm64    cross compiler and emulator
#   tools/test_arm64.sh       needs build/release/espalier and the Fashion-MNIST dataset; builds the
#                             former if it is missing
#
# The libraries come from Debian's arm64 packages. They are unpacked into build/arm64-sysroot and not
# installed: installing them would tie this machine's own packages to the same versions.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  libc6-dev libgomp1 libeigen3-dev libtbb-dev nlohmann-json3-dev libcli11-dev libspdlog-dev
  libfmt-dev libprotobuf-dev libonnx-dev libssl-dev zlib1g-dev libstb-dev libgtest-dev libgmock-dev
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
[[ -x build/release/espalier ]] || tools/build.sh release

run=(qemu-aarch64 -cpu max -L "$sysroot")
"${run[@]}" "$build/tests/kernels/kernels_test" --gtest_brief=1

# The documents of one training and one analysis, without what a run or a machine decides.
documents() { # FOLDER PROGRAM...
  local folder=$1 data=idx:/usr/share/datasets/fashion-mnist
  shift
  mkdir -p "$folder"
  :
}
