#!/usr/bin/env python3
"""Slim is held against its goldens, which keep samples; without a tokenizer what needs one is skipped, never passed.

    slim_test.py BUILD_DIR SOURCE_DIR

Exit status 77 (skipped) where build/models/slim was not made: ./run_phases.sh and ./run_tests.sh make it.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, SOURCE = (Path(sys.argv.pop(1)), Path(sys.argv.pop(1))) if len(sys.argv) > 2 else (Path(), Path())
SLIM = BUILD / "models" / "slim"

# Checks that there are only with goldens that keep samples, by case.
AGAINST_SAMPLES = {
    "3.1": ("final logits against the golden sample, fixed columns", "final logits against the golden sample, best places",
            "final logits against the golden sample, norms", "tokens beside the golden best",
            "reference f32 logits, golden sample, fixed columns", "reference f64 logits, golden sample, fixed columns"),
    "3.4": tuple(f"model.layers.{layer}.mlp_residual against the golden {kind}"
                 for layer in range(4) for kind in ("last position", "norms")),
}


class Slim(unittest.TestCase):
    def report_of(self, model, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            command = [BUILD / "plumbline-phases", "--quick", "--model", model, "--report-dir", folder, *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            return ended.returncode, json.loads((Path(folder) / "report.json").read_text()), ended.stdout[-3000:]

    def test_against_samples(self):
        status, report, said = self.report_of(SLIM, "--case", "3.1", "--case", "3.4")
        self.assertEqual(status, 0, said)
        cases = {case["id"]: case for phase in report["phases"] for case in phase["cases"]}
        for case_id, expected in AGAINST_SAMPLES.items():
            passed = {check["what"] for check in cases[case_id]["checks"] if check["verdict"] == "passed"}
            self.assertEqual(set(expected) - passed, set(), case_id)
        self.assertTrue(any("are samples" in text for text in report["phases"][0]["assumptions"]))

    def test_without_a_tokenizer(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("config.json", "model.safetensors"):
                os.symlink((SLIM / name).resolve(), Path(folder) / name)
            status, report, said = self.report_of(folder, "--phase", "2")
            self.assertEqual(status, 3, said)  # nothing was judged
            self.assertEqual(report["counts"]["passed"], 0)
            self.assertGreater(report["counts"]["skipped"], 0)
            # Its prompts are the goldens' ids, so the rest is judged as ever.
            status, report, said = self.report_of(folder, "--case", "3.1")
            self.assertEqual(status, 0, said)


if __name__ == "__main__":
    if not (SLIM / "model.safetensors").exists():
        print("skipped: build/models/slim was not made; ./run_tests.sh makes it")
        sys.exit(77)
    unittest.main()
