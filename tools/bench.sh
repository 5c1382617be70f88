#!/usr/bin/env bash
# Measures the host engine and, where python3-torch is installed, PyTorch on the same trainings, and
# prints both with their ratios.
#
#   tools/bench.sh MODEL.onnx [MORE.onnx...]
#
# (a) to (d) are of the first model; the kernels of all of them go into the document. Environment:
#   BUILD    build folder, default build/release
#   DATA     dataset of espalier_bench, such as cifar10:FILE; default noise
#   THREADS  threads of both, default one per processor
#   OUT      where the documents go, default BUILD/bench-results
#   PYTHON   interpreter that has torch, default /usr/bin/python3
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -eq 0 ]]; then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
BUILD=${BUILD:-build/release}
THREADS=${THREADS:-$(nproc)}
OUT=${OUT:-$BUILD/bench-results}
PYTHON=${PYTHON:-/usr/bin/python3}
mkdir -p "$OUT"

if [[ ! -f $BUILD/build.ninja ]]; then
  cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release > "$OUT/configure.log"
fi
cmake --build "$BUILD" --target espalier_bench > "$OUT/build.log"

threads=(1)
[[ $THREADS -eq 1 ]] || threads+=("$THREADS")
data=()
[[ -z ${DATA:-} ]] || data=(--data "$DATA")
"$BUILD/tests/bench/espalier_bench" "$@" "${data[@]}" --threads "${threads[@]}" \
  --dump "$OUT/dump" --json "$OUT/espalier.json"

if ! "$PYTHON" -c 'import torch, onnx, numpy' 2> /dev/null; then
  echo "PyTorch is not installed (python3-torch, python3-onnx): Espalier's side alone." >&2
  "$PYTHON" tests/bench/compare.py "$OUT/espalier.json" --json "$OUT/bench.json"
  exit 0
fi
"$PYTHON" tests/bench/pytorch_bench.py "$OUT/dump" --espalier "$OUT/espalier.json" \
  --threads "$THREADS" --json "$OUT/pytorch.json"
"$PYTHON" tests/bench/compare.py "$OUT/espalier.json" "$OUT/pytorch.json" --json "$OUT/bench.json"
echo
echo "documents: $OUT/bench.json"
