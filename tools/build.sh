#!/usr/bin/env bash
# Configures and builds one preset: tools/build.sh [release|debug|asan-ubsan|tsan]
set -euo pipefail
cd "$(dirname "$0")/.."
preset="${1:-release}"
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -- --quiet
