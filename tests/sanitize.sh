#!/usr/bin/env bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer into build-asan/ and runs the unit tests.
#
#   tests/sanitize.sh [--without-torch] [CMAKE OPTIONS]     options as -DTorch_DIR=...
#
# --without-torch: the units of harness/ and impl/ alone, which need none of LibTorch's headers. Those of the CUDA engine
# run on the emulated device.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
build=${PLUMBLINE_ASAN_BUILD:-build-asan}
units=(harness impl generation cuda_emulation cuda_kernels cuda_attention cuda_cache cuda_sampler cuda_engine)
if [[ ${1:-} == --without-torch ]]; then
  shift
else
  units+=(reference)
  # LibTorch and its OpenMP keep what they allocated to the end of the process: not ours to free.
  export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
cmake --preset asan-ubsan "${generator[@]}" -B "$build" "$@" >/dev/null
cmake --build "$build" --target "${units[@]/#/test_}"
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
for unit in "${units[@]}"; do
  echo "sanitized: $unit"
  "$build/test_$unit"
done
