#!/usr/bin/env bash
# Builds the fuzz targets into build-fuzz/ (with clang) and runs them one after the other. The test `fuzz` is this
# script, with some seconds for each target.
#
#   tests/fuzz/run.sh SECONDS [CMAKE OPTIONS]     SECONDS for each target; options as -DTorch_DIR=...
#
# Inputs that reach new code are kept in build-fuzz/corpus/, and are where the next run begins. A finding ends the
# run with status 1 and lies in build-fuzz/findings/. The last line counts the inputs. Status 77 where there is no
# clang with libFuzzer: nothing was tried.
set -euo pipefail
seconds=${1:?usage: run.sh SECONDS [CMAKE OPTIONS]}
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
build=${PLUMBLINE_FUZZ_BUILD:-build-fuzz}

targets=(config_native config_reference safetensors_native safetensors_reference index_native index_reference
  template_native template_reference tokenizer_file tokenizer_text tolerance trace)

compiler=
for candidate in clang++-14 clang++; do
  if command -v "$candidate" >/dev/null && echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    "$candidate" -x c++ -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null; then
    compiler=$candidate
    break
  fi
done
if [[ -z $compiler ]]; then
  echo "fuzz: skipped: no clang++ with libFuzzer (apt-get install clang-14 libclang-rt-14-dev)"
  exit 77
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
cmake --preset fuzz "${generator[@]}" -B "$build" -DCMAKE_CXX_COMPILER="$compiler" "$@" >/dev/null
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
  if ! "$build/fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=512 -timeout=60 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
    "$build/corpus/$target" "$build/seeds/${target%%_*}" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $target has a finding, see $build/findings/"
    exit 1
  fi
  inputs=$(awk '/stat::number_of_executed_units/ {print $2}' "$log")
  if ((inputs == 0)); then
    echo "fuzz: $target tried nothing, see $log"
    exit 1
  fi
  echo "fuzz: $target: $inputs inputs, no finding"
  total=$((total + inputs))
done
echo "fuzz: $total inputs, no finding"
