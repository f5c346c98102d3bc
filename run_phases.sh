#!/usr/bin/env bash
# Sets the machine up, builds, runs the phase suites and writes reports/. --help says what it takes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/tools/setup.sh"

set_up
build plumbline plumbline-make-model plumbline-phases phase1_config phase2_tokenization phase3_forward \
  phase4_sampling phase5_generation || exit 2
# Another checkpoint needs no slim.
[[ " $*" == *" --model"* || " $*" == *" --help"* ]] || make_slim
exec "$build_dir/plumbline-phases" "$@"
