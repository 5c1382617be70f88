#!/usr/bin/env bash
# Which short recipe of plan trainings says most, per second, about what a plan reaches with the recipe
# it is for: 12 plans of the memory of the smallest published one, with the reference (5,000 images,
# 10 epochs, the first of the head alone, a clip of 3; three seeds) and with each short recipe (a clip
# of 3, four seeds). Goes on where it stopped when run again.
#   ESPALIER_SHARED=FOLDER [PLANS=N] [SEEDS=N] [RECIPES="5000x3 ..."] tools/compare_recipes.sh OUT [MODEL]
# FOLDER/data holds models/ and the images (CONTRIBUTING.md, "Golden data"); MODEL is mcunet-5fps
# (default), mbv2-w0.35 or proxyless-w0.3. All train on the same 5,000 images of those that
# tools/compare_plans.sh searches with (OUT/data), or a part of them, and all are judged on the other
# 3,000 of these: no test image is used, and that the judges are a sample is in no figure. Seconds
# are those of training steps, by the records of the store. PLANS and SEEDS are at least 3 and 2.
# OUT/recipes-MODEL.json has all figures; tools/recipes.py says what they are.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
: "${ESPALIER_SHARED:?names the folder of the golden data}"
ESPALIER_SHARED=$(cd "$ESPALIER_SHARED" && pwd)  # configurations take it from where they lie
export ESPALIER_SHARED
out=$1
model=${2:-mcunet-5fps}
plans=${PLANS:-12}
seeds=${SEEDS:-4}
read -ra recipes <<<"${RECIPES:-5000x2 5000x3 5000x5 2500x5 2500x10 2000x5}"
if [ "$plans" -lt 3 ] || [ "$seeds" -lt 2 ]; then
  echo "PLANS is at least 3 and SEEDS at least 2" >&2
  exit 64
fi
espalier=build/release/espalier
tools/build.sh release espalier

mkdir -p "$out/data"
out=$(cd "$out" && pwd)
data=$ESPALIER_SHARED/data/cifar10
export ESPALIER_SPLIT=$out/data
tools/split_cifar10.py "$data/train_10k.bin" "$data/test_2k.bin" --hold-out 200 \
  --train "$ESPALIER_SPLIT/search.bin" --test "$ESPALIER_SPLIT/test.bin"
tools/split_cifar10.py "$ESPALIER_SPLIT/search.bin" --hold-out 300 \
  --train "$ESPALIER_SPLIT/recipes-train.bin" --test "$ESPALIER_SPLIT/recipes-validation.bin"

folder=$out/recipes-$model
mkdir -p "$folder"
python3 tools/recipes.py plans "$espalier" "$model" "$ESPALIER_SHARED/data/models/$model.onnx" \
  configs/measured-cifar10.json "$plans" >"$folder/plans.json"
for recipe in reference "${recipes[@]}"; do
  count=$seeds
  [ "$recipe" = reference ] && [ "$seeds" -gt 3 ] && count=3
  python3 tools/recipes.py config "$model" "$folder/plans.json" "$recipe" "$count" \
    >"$folder/$recipe.json"
  "$espalier" sweep "$folder/$recipe.json" --out "$folder/$recipe"
done
python3 tools/recipes.py figures "$folder" reference "${recipes[@]}" >"$folder.json"
python3 tools/recipes.py table "$folder.json"
