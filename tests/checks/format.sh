#!/usr/bin/env bash
# Every tracked C++ and CUDA file is as clang-format 14 leaves it. Exit status 77 (skipped) without it: other
# versions break some lines differently.
set -euo pipefail
cd "$1"

formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [[ -z "$formatter" ]] || ! "$formatter" --version | grep -q 'version 14\.'; then
  echo "skipped: no clang-format 14"
  exit 77
fi
if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  echo "skipped: not a git checkout"
  exit 77
fi
if ! complaints=$(git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' |
  xargs -0 --no-run-if-empty -- "$formatter" --dry-run -Werror 2>&1); then
  echo "not as clang-format 14 leaves it (clang-format -i FILE mends it):"
  grep -E 'error|No such' <<<"$complaints" | head -n 40 || true
  exit 1
fi
