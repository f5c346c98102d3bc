#!/usr/bin/env python3
"""plumbline-phases refuses bad usage with one line and exit status 2, and writes nothing.

    run_phases_test.py PROGRAM
"""
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
