#!/usr/bin/env bash
# Sets up, builds and runs the tests.
#   tools/test.sh             everything but the slow tier
#   tools/test.sh --slow      everything
#   tools/test.sh --sanitize  under AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."
preset=release
selection=(--label-exclude slow)
setup=()
for argument in "$@"; do
  case "$argument" in
    --slow)
      selection=()
      setup=(--slow)
      ;;
    --sanitize) preset=asan-ubsan ;;
    *) echo "usage: tools/test.sh [--slow] [--sanitize]" >&2; exit 2 ;;
  esac
done

if [[ -z "${ESPALIER_SHARED:-}" && -d ../shared/data ]]; then
  ESPALIER_SHARED="$(cd ../shared && pwd)"
fi
if [[ -d "${ESPALIER_SHARED:-}" ]]; then
  ESPALIER_SHARED="$(cd "$ESPALIER_SHARED" && pwd)"
  export ESPALIER_SHARED
else
  unset ESPALIER_SHARED
  echo "test: ESPALIER_SHARED names no folder; tests on the published models will be skipped" >&2
fi

tools/setup.sh "${setup[@]}"
/usr/bin/python3 tools/check_layers.py
tools/build.sh "$preset"
# One more than there are cores: some tests wait.
ctest --test-dir "build/$preset" --output-on-failure --parallel "$(($(nproc) + 1))" "${selection[@]}"
