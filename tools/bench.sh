#!/usr/bin/env bash
# Measures the host engine and other programs on the same networks and trainings, and prints their
# rates and ratios: PyTorch in fp32 and in quantised kernels where python3-torch is installed, ONNX
# Runtime where `tools/setup.sh --slow` installed it.
#
#   tools/bench.sh MODEL.onnx [MORE.onnx...]
#
# First (a) to (d) of the first model beside plain PyTorch, and the kernels of all models; then, model
# by model, all programs taking turns (tests/bench/peers_bench.py). Environment:
#   BUILD    build folder, default build/release
#   DATA     dataset of espalier_bench, such as cifar10:FILE; default noise
#   THREADS  threads of (a) to (d), default one per processor; also of the turns where it is given
#   OUT      where the documents go, default BUILD/bench-results
#   PYTHON   interpreter that has torch, default /usr/bin/python3
#   PARTS    what to measure, default "engine peers"
#   ROUNDS   turns of each program, default 7
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -eq 0 ]]; then
  sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
BUILD=${BUILD:-build/release}
turns=(1)
[[ ${THREADS:-1} -eq 1 ]] || turns+=("$THREADS")
THREADS=${THREADS:-$(nproc)}
OUT=${OUT:-$BUILD/bench-results}
PYTHON=${PYTHON:-/usr/bin/python3}
PARTS=${PARTS:-engine peers}
ROUNDS=${ROUNDS:-7}
mkdir -p "$OUT"

if [[ ! -f $BUILD/build.ninja ]]; then
  cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release > "$OUT/configure.log"
fi
cmake --build "$BUILD" --target espalier_bench > "$OUT/build.log"

threads=(1)
[[ $THREADS -eq 1 ]] || threads+=("$THREADS")
data=()
[[ -z ${DATA:-} ]] || data=(--data "$DATA")
bench=$BUILD/tests/bench/espalier_bench
rm -f "$OUT"/espalier.json "$OUT"/pytorch.json "$OUT"/peers-*.json

if [[ " $PARTS " == *" engine "* ]]; then
  "$bench" "$@" "${data[@]}" --threads "${threads[@]}" --dump "$OUT/dump" --json "$OUT/espalier.json"
  if "$PYTHON" -c 'import torch, onnx, numpy' 2> /dev/null; then
    "$PYTHON" tests/bench/pytorch_bench.py "$OUT/dump" --espalier "$OUT/espalier.json" \
      --threads "$THREADS" --json "$OUT/pytorch.json"
  else
    echo "PyTorch is not installed (python3-torch, python3-onnx): Espalier's side alone." >&2
  fi
fi
if [[ " $PARTS " == *" peers "* ]]; then
  for model in "$@"; do
    "$PYTHON" tests/bench/peers_bench.py "$bench" "$model" --out "$OUT" "${data[@]}" \
      --rounds "$ROUNDS" --threads "${turns[@]}"
  done
fi
"$PYTHON" tests/bench/compare.py "$OUT" --json "$OUT/bench.json"
echo
echo "documents: $OUT/bench.json"
