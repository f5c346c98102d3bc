#!/usr/bin/env python3
"""What a phase suite leaves behind when it goes well, and in each way that it may not.

    suite_test.py PROGRAM
"""
import json
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop() if len(sys.argv) > 1 else None


class Suite(unittest.TestCase):
    def run_suite(self, mode, *arguments):
        """The process and its part, None where it left none."""
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.json"
            ended = subprocess.run([PROGRAM, "--isa", mode, "--part", str(part), *arguments],
                                   capture_output=True, text=True, timeout=60, check=False)
            return ended, json.loads(part.read_text()) if part.exists() else None

    def verdicts(self, part):
        return {entry["id"]: entry["counts"]["verdict"] for entry in part["cases"]}

    def expect(self, mode, status, verdicts, *arguments):
        ended, part = self.run_suite(mode, *arguments)
        self.assertEqual(ended.returncode, status, ended)
        self.assertTrue(part["finished"])
        self.assertEqual(self.verdicts(part), verdicts)
        return ended, part

    def test_a_good_run(self):
        ended, part = self.expect("good", 0, {"1.1": "passed", "1.2": "passed", "1.3": "skipped"})
        self.assertEqual(len(part["cases"][0]["checks"]), 2)
        self.assertIn("case 1.1 fields and defaults\ndone 1.1 passed 2 ", ended.stdout)

    def test_a_failed_check(self):
        ended, part = self.expect("unequal", 1, {"1.1": "failed", "1.2": "passed", "1.3": "skipped"})
        note = part["cases"][0]["checks"][0]["note"]
        self.assertEqual(note, "expected '1e-06', got '1e-05', first difference at byte 4")
        self.assertEqual(part["cases"][0]["message"], "")

    def test_an_exception_is_an_error_and_the_rest_runs(self):
        _, part = self.expect("throws", 1, {"1.1": "error", "1.2": "passed", "1.3": "skipped"})
        self.assertEqual(part["cases"][0]["message"], "config.json: is cut short\\x0ahere")

    def test_a_plain_assertion_fails_its_case(self):
        _, part = self.expect("asserts", 1, {"1.1": "failed", "1.2": "passed", "1.3": "skipped"})
        self.assertRegex(part["cases"][0]["message"], r"^2 == 3 at misbehaving_suite.cpp:\d+$")

    def test_what_asserts_or_records_nothing_is_untested(self):
        self.expect("asserts nothing", 1, {"1.1": "untested", "1.2": "passed", "1.3": "skipped"})
        self.expect("records nothing", 1, {"1.1": "passed", "1.2": "passed", "1.3": "untested"})

    def test_a_crash_loses_the_case_at_hand_only(self):
        ended, part = self.run_suite("crashes")
        self.assertEqual(ended.returncode, -signal.SIGSEGV)
        self.assertFalse(part["finished"])
        self.assertEqual(part["running"], "1.2")
        self.assertEqual(self.verdicts(part)["1.1"], "passed")

    def test_bad_input_leaves_no_part(self):
        ended, part = self.run_suite("bad input")
        self.assertEqual(ended.returncode, 2)
        self.assertEqual(ended.stderr, "plumbline: some/folder: is no checkpoint\n")
        self.assertIsNone(part)

    def test_a_machine_that_cannot_skips_all(self):
        _, part = self.expect("not available", 3, {"1.1": "skipped", "1.2": "skipped", "1.3": "skipped"})
        self.assertEqual(part["cases"][0]["checks"][0]["note"], "no CUDA device")

    def test_cases_are_filtered(self):
        _, part = self.expect("good", 0, {"1.2": "passed"}, "--case", "1.2")
        self.assertTrue(part["partial"])

    def test_bad_usage(self):
        for arguments in (["--case", "3.1"], ["--case", "1.9"], ["--dtype", "f33"], ["--no-such-option"]):
            ended, part = self.run_suite("good", *arguments)
            self.assertEqual((ended.returncode, ended.stderr.count("\n"), part), (2, 1, None), ended)


if __name__ == "__main__":
    unittest.main()
