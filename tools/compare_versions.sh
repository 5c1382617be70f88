#!/usr/bin/env bash
# What a whole contribution analysis costs: processor time of another version (any commit, built beside this
# one in build/versions/), of this one, and of this one's half of the trials that tells most, whose plans are
# as good (tools/compare_shares.sh). One thread each, one after the other.
#   [IMAGES=2000] tools/compare_versions.sh COMMIT MODEL TRAIN
# TRAIN is a file of CIFAR-10, of which IMAGES train and half as many judge. With IMAGES=500 some ten minutes
# of processor time for a published network.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { sed -n '2,7p' "$0" | sed 's/^# \{0,1\}//'; exit 64; }
images=${IMAGES:-2000}
commit=$(git rev-parse --short "$1^{commit}")
model=$(realpath "$2")
train=$(realpath "$3")
tools/build.sh release espalier >&2
other=build/versions/$commit
[[ -d $other ]] || git worktree add --detach "$other" "$commit" >&2
"$other/tools/build.sh" release espalier >&2
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# seconds BINARY [OPTION...]: the processor time of an analysis.
seconds() {
  local TIMEFORMAT=%U spent binary=$1
  shift
  mkdir "$work/run"
  if ! spent=$({ time "$binary" analyze "$model" --train "cifar10:$train" --limit-train "$images" \
    --limit-val $((images / 2)) --preprocess lut=profiles/models/mcunetv3_input_lut.txt --jobs 1 --quiet \
    "$@" --out "$work/run/profile.json" > "$work/out" 2> "$work/err"; } 2>&1); then
    cat "$work/err" >&2
    return 1
  fi
  rm -r "$work/run"  # with the trials that it kept beside its profile
  echo "$spent"
}

before=$(seconds "$other/build/release/espalier")
now=$(seconds build/release/espalier)
half=$(seconds build/release/espalier --share 0.5)
echo "| analysis | processor time, s | times as fast |"
echo "|---|---|---|"
row() { awk -v name="$1" -v first="$before" -v it="$2" 'BEGIN { printf "| %s | %s | %.2f |\n", name, it, first / it }'; }
row "all trials, $commit" "$before"
row "all trials" "$now"
row "half of them (\`--share 0.5\`)" "$half"
