#!/usr/bin/env bash
# Cycles of a training step of mcunet-5fps on the simulated core, by kernel: full update with the
# plain kernels against the published 100 KB plan with the blocked ones, without and with the dot
# product. Every run is also a proof: the same bits as on the host. Some minutes.
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
python3 - "$work" <<'EOF'
import json, pathlib, sys
device = json.loads(pathlib.Path("profiles/devices/espalier-core.json").read_text())
device.update(name="large-core", sram_bytes=8 << 20, flash_bytes=8 << 20)
pathlib.Path(sys.argv[1], "large.json").write_text(json.dumps(device))
EOF
"$espalier" plan make "$model" --full --out "$work/full.json" --quiet
"$espalier" plan import "$model" --out "$work/sparse.json" --quiet --published \
  '{"n_bias_update":22,"manual_weight_idx":[21,24,27,30,36,39],"weight_update_ratio":[1,1,1,1,0.125,0.25]}'

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

python3 - "$work" <<'EOF'
import json, pathlib, sys
names = ["full-plain", "sparse-plain", "sparse-blocked", "sparse-dot"]
runs = {n: json.loads(pathlib.Path(sys.argv[1], n + ".json").read_text()) for n in names}
kernels = {}
for name in names:
    for kernel in runs[name]["kernels"]:
        kernels.setdefault(kernel["name"], {})[name] = kernel
order = sorted(kernels, key=lambda k: -kernels[k].get("full-plain", {"cycles": 0})["cycles"])
def cell(kernel):
    if kernel is None:
        return "-"
    text = f"{kernel['cycles'] / 1e6:.2f}"
    if kernel["cycles_per_mac"] is not None and kernel["cycles"] > 1e5:
        text += f" ({kernel['cycles_per_mac']:.2f})"
    return text
print("M cycles a step (cycles a MAC)\n")
print("| kernel | full, plain | 100 KB plan, plain | 100 KB plan, blocked | with dot product |")
print("|---|---|---|---|---|")
for kernel in order:
    print(f"| {kernel} | " + " | ".join(cell(kernels[kernel].get(n)) for n in names) + " |")
total = {n: runs[n]["cycles_per_step"] for n in names}
print("| **step** | " + " | ".join(f"**{total[n] / 1e6:.1f}**" for n in names) + " |")
print("| times fewer than full, plain | " +
      " | ".join(f"{total['full-plain'] / total[n]:.1f}x" for n in names) + " |")
print("| SRAM, bytes | " + " | ".join(f"{runs[n]['sram']['promised']:,}" for n in names) + " |")
print("| cycles an instruction | " +
      " | ".join(f"{runs[n]['cycles_per_instruction']:.2f}" for n in names) + " |")
EOF
