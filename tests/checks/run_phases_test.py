#!/usr/bin/env python3
"""plumbline-phases refuses bad usage with one line and exit status 2, and writes nothing; a run can be compared
with an earlier one.

    run_phases_test.py PROGRAM
"""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop() if len(sys.argv) > 1 else None

# What is asked for, and what the line must name.
REFUSED = [
    (["--phase", "6"], "unknown phase '6'"),
    (["--phase", "three"], "unknown phase 'three'"),
    (["--case", "3.9"], "unknown case '3.9'"),
    (["--case", "9.1"], "unknown case '9.1'"),
    (["--engine", "tpu"], "unknown engine 'tpu'"),
    (["--dtype", "f64"], "unknown dtype 'f64'"),
    (["--dtype", "bf16"], "not built yet"),
    (["--threads", "0"], "--threads"),
    (["--model", "no/such/folder"], "no/such/folder"),
    (["--model"], "--model"),
    (["--baseline", "no/such/report.json"], "no/such/report.json"),
    (["--baseline", "."], "is no file"),
    (["--baseline"], "--baseline"),
    (["--no-such-option"], "--no-such-option"),
    (["3.2"], "3.2"),
]


class Refusals(unittest.TestCase):
    def run_phases(self, arguments):
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)

    def test_bad_usage(self):
        with tempfile.TemporaryDirectory() as folder:
            reports = Path(folder) / "reports"
            for arguments, expected in REFUSED:
                with self.subTest(arguments):
                    result = self.run_phases(["--report-dir", str(reports), *arguments])
                    self.assertEqual(result.returncode, 2, result)
                    self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                    self.assertIn(expected, result.stderr)
                    self.assertFalse(reports.exists())

    def test_baselines_that_are_no_reports(self):
        whole = {"format": "plumbline report", "version": 1, "skipped_reason": "", "phases": []}
        foreign = {
            "empty": "",
            "cut": json.dumps(whole)[:-5],
            "list": "[]",
            "number": "5",
            "stranger": '{"version": 1}',
            "other_format": json.dumps({**whole, "format": "a report"}),
            "later_version": json.dumps({**whole, "version": 2}),
            "float_version": json.dumps({**whole, "version": 1e99}),
            "phases_no_list": json.dumps({**whole, "phases": 5}),
            "phase_no_object": json.dumps({**whole, "phases": ["phase 3"]}),
            "deep": "[" * 10000 + "]" * 10000,
            "binary": "\0\1\2",
        }
        with tempfile.TemporaryDirectory() as folder:
            reports = Path(folder) / "reports"
            for name, text in foreign.items():
                with self.subTest(name):
                    baseline = Path(folder) / f"{name}.json"
                    baseline.write_text(text)
                    result = self.run_phases(["--report-dir", str(reports), "--baseline", str(baseline)])
                    self.assertEqual(result.returncode, 2, result)
                    self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                    self.assertIn(f"{name}.json", result.stderr)
                    self.assertIn("not a report of plumbline", result.stderr)
                    self.assertEqual(result.stdout, "", "nothing was run")
                    self.assertFalse(reports.exists())

    def test_against_its_own_report(self):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["--phase", "1", "--quick", "--report-dir", folder]
            first = self.run_phases(arguments)
            self.assertEqual(first.returncode, 0, first)
            self.assertNotIn("against", first.stdout)
            summary = Path(folder) / "SUMMARY.md"
            self.assertRegex(summary.read_text(), r"\| Phase 1: config \| [\d.]+ s \| \d+ MiB \|")
            report = Path(folder) / "report.json"
            again = self.run_phases([*arguments, "--baseline", str(report)])
            self.assertEqual(again.returncode, 0, again)
            self.assertIn(f"against {report}: no change in phase 1\n", again.stdout)
            self.assertIn("no change in phase 1", summary.read_text())

            altered = json.loads(report.read_text())
            altered["phases"][0]["cases"][0]["checks"].pop()
            report.write_text(json.dumps(altered))
            changed = self.run_phases([*arguments, "--baseline", str(report)])
            self.assertEqual(changed.returncode, 0, changed)
            self.assertIn("what changed in phase 1", changed.stdout)
            self.assertIn("1.1 fields and defaults", changed.stdout.split("what changed")[1])

    def test_report_folder_that_cannot_be(self):
        with tempfile.NamedTemporaryFile() as file:
            result = self.run_phases(["--report-dir", file.name, "--phase", "1"])
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(file.name, result.stderr)

    def test_help(self):
        result = self.run_phases(["--help"])
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("--report-dir", result.stdout)
        self.assertIn("Example:", result.stdout)


if __name__ == "__main__":
    unittest.main()
