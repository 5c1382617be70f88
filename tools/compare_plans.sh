#!/usr/bin/env bash
# Found plans beside the published ones of the same memory: contributions, a search that trains whole
# plans, and final trainings of both with five seeds, on test images that nothing before saw. Goes on
# where it stopped when run again.
#   ESPALIER_SHARED=FOLDER tools/compare_plans.sh OUT [MODEL]
# FOLDER/data holds models/ and cifar10/ (CONTRIBUTING.md, "Golden data"); OUT takes some 100 MB.
# MODEL is one of the networks of configs/measured-cifar10.json; without it all are measured.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
: "${ESPALIER_SHARED:?names the folder of the golden data}"
out=$1
model=${2:-}
espalier=build/release/espalier
data=$ESPALIER_SHARED/data/cifar10

mkdir -p "$out/data"
out=$(cd "$out" && pwd)
export ESPALIER_SPLIT=$out/data
tools/split_cifar10.py "$data/train_10k.bin" "$data/test_2k.bin" --hold-out 200 \
  --train "$ESPALIER_SPLIT/search.bin" --test "$ESPALIER_SPLIT/test.bin"
folder=$out/${model:-all}
"$espalier" sweep configs/measured-cifar10.json --out "$folder" ${model:+--models "$model"}
"$espalier" report "$folder" --out "$folder.report" --no-page --force
python3 tools/tables.py against-published "$folder.report/report.json"
