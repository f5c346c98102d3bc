#!/usr/bin/env bash
# Sets the machine up, builds everything, and runs all tests: units, checks of the sources, the five phases.
# The last line counts tests and phase suites: "N passed, N failed", with ", N skipped" where there are any.
# --trial: puts the harness on trial instead (planted mistakes, clean runs, detection floors), and writes
# reports/trial.md; what follows goes to plumbline-trial (--help lists it).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/tools/setup.sh"

if (($# == 1)) && [[ $1 == --help || $1 == -h ]]; then
  sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
  exit 0
fi
if (($# > 0)); then
  [[ $1 == --trial ]] || refuse "unknown option '$1' (run_tests.sh knows --trial and --help)"
  set_up
  build plumbline-trial || exit 2
  exec "$build_dir/plumbline-trial" --report-dir "$root/reports" "${@:2}"
fi

passed=0 failed=0 skipped=0

# Adds "PASSED FAILED SKIPPED" to the counts.
count() {
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

finish() {
  local line="$passed passed, $failed failed"
  ((skipped > 0)) && line+=", $skipped skipped"
  echo "$line"
  ((failed == 0)) && exit 0
  exit 1
}

# From ctest's JUnit file; nothing there is a failure.
ctest_counts() {
  python3 - "$1" <<'PYTHON' || echo "0 1 0"
import sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
total, failures, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "skipped"))
assert total > 0
print(total - failures - skipped, failures, skipped)
PYTHON
}

# From report.json; a run that wrote none is a failure.
phase_counts() {
  python3 - "$1" <<'PYTHON' || echo "0 1 0"
import json, sys
verdicts = [phase["counts"]["verdict"] for phase in json.load(open(sys.argv[1]))["phases"]]
assert verdicts
passed, skipped = verdicts.count("passed"), verdicts.count("skipped")
print(passed, len(verdicts) - passed - skipped, skipped)
PYTHON
}

set_up tests
if ! build; then
  count 0 1 0
  finish
fi
make_slim

rm -f "$build_dir/ctest.xml"
ctest --test-dir "$build_dir" --output-on-failure --no-tests=error --timeout 900 \
  --parallel "$(jobs_to_use)" --output-junit "$build_dir/ctest.xml" || true
read -r -a counts < <(ctest_counts "$build_dir/ctest.xml")
count "${counts[@]}"

status=0
"$build_dir/plumbline-phases" || status=$?
if ((status == 0 || status == 1)); then
  read -r -a counts < <(phase_counts "$root/reports/report.json")
  count "${counts[@]}"
else
  say "the phases ended with exit status $status"
  count 0 1 0
fi
finish
