#!/usr/bin/env bash
# Cycles of a training step of mcunet-5fps on the simulated core, by kernel: full update with the
# plain kernels against the published 100 KB plan with the blocked ones, without and with the dot
# product, and the same with integer gradients, without the dot product and the float unit, with both,
# and with the dot product that loads, too; gradients of parameters also where eight samples make an
# update, so that they are summed and no steps are taken. Every run is also a proof: the same bits as
# on the host. Some minutes.
#   tools/core_table.sh [FOLDER WITH THE MODELS]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
model="$models/mcunet-5fps.onnx"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Full update does not fit the core's 256 KiB: a part with more memory, otherwise the same.
python3 tools/tables.py large-core profiles/devices/espalier-core.json "$work/large.json"
"$espalier" plan make "$model" --full --out "$work/full.json" --quiet
"$espalier" plan import "$model" --out "$work/sparse.json" --quiet \
  --published profiles/published/mcunet-5fps.json

measure() { # name, plan, device, compile options...
  local name="$1" plan="$2" device="$3"
  shift 3
  "$espalier" compile "$model" --plan "$work/$plan.json" --classes 10 --out "$work/$name" --quiet "$@"
  "$espalier" check "$work/$name" --device "$device" --steps 1 --quiet --json "$work/$name.json"
}
measure full-plain full "$work/large.json" --target rv32imf --kernels plain
measure sparse-plain sparse profiles/devices/espalier-core.json --target rv32imf --kernels plain
measure sparse-blocked sparse profiles/devices/espalier-core.json --target rv32imf
measure sparse-dot sparse profiles/devices/espalier-core.json --target rv32imf+pm4adda.b
measure integer sparse profiles/devices/espalier-core.json --target rv32im --numerics integer
measure integer-dot sparse profiles/devices/espalier-core.json --target rv32imf+pm4adda.b \
  --numerics integer
measure integer-load-dot sparse profiles/devices/espalier-core.json \
  --target rv32imf+pm4adda.b+lwdota.b --numerics integer
summed=(--numerics integer --accumulate 8)
measure sums sparse "$work/large.json" --target rv32im "${summed[@]}"
measure sums-dot sparse "$work/large.json" --target rv32imf+pm4adda.b "${summed[@]}"
measure sums-load-dot sparse "$work/large.json" --target rv32imf+pm4adda.b+lwdota.b "${summed[@]}"

python3 tools/tables.py core "$work"
