#!/usr/bin/env bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer into build-asan/ and runs the unit tests.
#
#   tests/sanitize.sh [--without-torch] [CMAKE OPTIONS]     options as -DTorch_DIR=...
#
# --without-torch: the units of harness/ and impl/ alone, which need none of LibTorch's headers.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
build=${PLUMBLINE_ASAN_BUILD:-build-asan}
units=(harness reference impl generation)
if [[ ${1:-} == --without-torch ]]; then
  units=(harness impl generation)
  shift
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
cmake --preset asan-ubsan "${generator[@]}" -B "$build" "$@" >/dev/null
cmake --build "$build" --target "${units[@]/#/test_}"
# LibTorch and its OpenMP keep what they allocated to the end of the process: not ours to free.
if [[ ${#units[@]} == 4 ]]; then export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}; fi
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
for unit in "${units[@]}"; do
  echo "sanitized: $unit"
  "$build/test_$unit"
done
