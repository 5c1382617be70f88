#!/usr/bin/env bash
# Prints SRAM of training, stage by stage of the method, for the three published networks under their
# published plans of about 100 KB: tools/memory_table.sh [FOLDER WITH THE MODELS] [CLASSES]
set -euo pipefail
cd "$(dirname "$0")/.."
models="${1:-${ESPALIER_SHARED:?set ESPALIER_SHARED or name the folder with the models}/data/models}"
classes="${2:-10}"
espalier=build/release/espalier
[[ -x $espalier ]] || tools/build.sh release espalier
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

declare -A plans=(
  [mbv2-w0.35]='{"n_bias_update":25,"manual_weight_idx":[27,30,33,36,39,42,45,48],"weight_update_ratio":[1,1,1,1,1,0.125,0.5,1]}'
  [proxyless-w0.3]='{"n_bias_update":25,"manual_weight_idx":[36,39,42,45,48,51,54,57],"weight_update_ratio":[1,0.5,1,1,0.25,0.5,1,1]}'
  [mcunet-5fps]='{"n_bias_update":22,"manual_weight_idx":[21,24,27,30,36,39],"weight_update_ratio":[1,1,1,1,0.125,0.25]}'
)
for model in mbv2-w0.35 proxyless-w0.3 mcunet-5fps; do
  "$espalier" plan import "$models/$model.onnx" --published "${plans[$model]}" \
    --out "$work/plan.json" --quiet
  "$espalier" plan show "$work/plan.json" --model "$models/$model.onnx" --classes "$classes" \
    --json "$work/$model.json" --quiet
done
python3 - "$work" <<'EOF'
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
print("| model | full update | pruned, sliced | | reordered, in place, streamed | | in all | within 262,144 |")
print("|---|---|---|---|---|---|---|---|")
for name in ("mbv2-w0.35", "proxyless-w0.3", "mcunet-5fps"):
    p = json.loads((work / f"{name}.json").read_text())["planned"]
    full, pruned, all_ = p["full_update_bytes"], p["pruned_bytes"], p["planned_bytes"]
    print(f"| {name} | {full:,} | {pruned:,} | {full / pruned:.1f}x | {all_:,} | "
          f"{pruned / all_:.1f}x | {full / all_:.1f}x | {'yes' if all_ <= 262144 else 'no'} |")
EOF
