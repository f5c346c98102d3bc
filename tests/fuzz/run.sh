#!/usr/bin/env bash
# Builds the fuzz targets into build-fuzz/ (with clang) and runs them one after the other.
#
#   tests/fuzz/run.sh SECONDS [CMAKE OPTIONS]     SECONDS for each target; options as -DTorch_DIR=...
#
# Inputs that reach new code are kept in build-fuzz/corpus/, and are where the next run begins. A finding ends the
# run with status 1 and lies in build-fuzz/findings/. The last line counts the inputs.
set -euo pipefail
seconds=${1:?usage: run.sh SECONDS [CMAKE OPTIONS]}
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
build=${PLUMBLINE_FUZZ_BUILD:-build-fuzz}

targets=(config_native config_reference safetensors_native safetensors_reference index_native index_reference
  tolerance trace)
cmake --preset fuzz -B "$build" "$@" >/dev/null
cmake --build "$build" --target "${targets[@]/#/fuzz_}"
python3 tests/fuzz/seeds.py fixtures "$build/seeds"
mkdir -p "$build/findings"
# A finding ends a target without destructors: what it wrote goes with this folder.
if [[ -d /dev/shm && -w /dev/shm ]]; then TMPDIR=/dev/shm; fi
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/plumbline-fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

total=0
for target in "${targets[@]}"; do
  mkdir -p "$build/corpus/$target"
  log=$build/fuzz_$target.log
  if ! "$build/fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=512 -timeout=10 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
    "$build/corpus/$target" "$build/seeds/${target%%_*}" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $target has a finding, see $build/findings/"
    exit 1
  fi
  inputs=$(awk '/stat::number_of_executed_units/ {print $2}' "$log")
  echo "fuzz: $target: $inputs inputs, no finding"
  total=$((total + inputs))
done
echo "fuzz: $total inputs, no finding"
