#!/usr/bin/env bash
# Builds a libFuzzer target with clang and runs it: tools/fuzz.sh TARGET SECONDS
# TARGET is one of tests/fuzz/*_fuzz.cpp. Inputs that were found stay in build/fuzz/found/TARGET.
# Ends with 77 where there is no clang with libFuzzer (Debian: clang).
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:?usage: tools/fuzz.sh TARGET SECONDS}"
seconds="${2:?usage: tools/fuzz.sh TARGET SECONDS}"
command -v clang++ >/dev/null || { echo "fuzz: clang++ is not there" >&2; exit 77; }

cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target "${target}_fuzz" fuzz_corpus -- --quiet
corpus=build/fuzz/corpus
found="build/fuzz/found/$target"
mkdir -p "$found"
build/fuzz/tests/fuzz/fuzz_corpus "$corpus"
# No input may take half a GiB or ten seconds.
"build/fuzz/tests/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=512 \
  -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -artifact_prefix="$found/" -close_fd_mask=1 \
  "$found" "$corpus/$target"
