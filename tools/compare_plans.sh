#!/usr/bin/env bash
# Found plans beside the published ones of the same memory: contributions, a search that trains whole
# plans, and final trainings of both with six seeds (of flowers sixteen), on test images that nothing
# before saw. Goes on where it stopped when run again.
#   ESPALIER_SHARED=FOLDER tools/compare_plans.sh OUT [MODEL [DATA]]
# FOLDER/data holds models/ and the images (CONTRIBUTING.md, "Golden data"); OUT takes some 100 MB.
# DATA is cifar10 or flowers5, and MODEL one of the networks of configs/measured-DATA.json; without them
# all of cifar10's are measured.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
: "${ESPALIER_SHARED:?names the folder of the golden data}"
ESPALIER_SHARED=$(cd "$ESPALIER_SHARED" && pwd)  # configurations take it from where they lie
export ESPALIER_SHARED
out=$1
model=${2:-}
set=${3:-cifar10}
espalier=build/release/espalier
tools/build.sh release espalier

mkdir -p "$out/data"
out=$(cd "$out" && pwd)
if [ "$set" = cifar10 ]; then
  data=$ESPALIER_SHARED/data/cifar10
  export ESPALIER_SPLIT=$out/data
  tools/split_cifar10.py "$data/train_10k.bin" "$data/test_2k.bin" --hold-out 200 \
    --train "$ESPALIER_SPLIT/search.bin" --test "$ESPALIER_SPLIT/test.bin"
fi
folder=$out/${model:-all}
[ "$set" = cifar10 ] || folder=$folder-$set
"$espalier" sweep "configs/measured-$set.json" --out "$folder" ${model:+--models "$model"}
"$espalier" report "$folder" --out "$folder.report" --no-page --force
python3 tools/tables.py against-published "$folder.report/report.json"
python3 tools/tables.py searches "$folder/sweep.json"
