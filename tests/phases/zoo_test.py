#!/usr/bin/env python3
"""Every checkpoint of the zoo passes the phases, held against its goldens; one that has none passes too, and says so.

    zoo_test.py BUILD_DIR SOURCE_DIR
"""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, SOURCE = (Path(sys.argv.pop(1)), Path(sys.argv.pop(1))) if len(sys.argv) > 2 else (Path(), Path())
ZOO = SOURCE / "fixtures" / "models" / "zoo"

# fixtures/scripts/zoo_checkpoints.py says what each shows.
NAMES = ["aligned", "bf16", "everything", "f16", "gqa", "head-dim", "mha", "mixed", "mqa", "sharded", "window-4x", "window-5x",
         "window-off", "yarn-4x", "yarn-5x"]

# Checks that there are only with goldens, by case.
AGAINST_GOLDENS = {
    "1.1": ("layer_types (native, golden)", "layer_types (reference, golden)", "rope type (native, golden)",
            "eos_token_id (native, golden)"),
    "1.2": ("model.norm.weight (native, golden)", "model.norm.weight (reference, golden)",
            "parameter count (native)", "parameter count (reference)"),
    "1.3": ("key_value_dim (native, golden)", "key_value_dim (reference, golden)"),
    "3.1": ("final logits against the golden ones", "reference f32 logits, golden f32",
            "reference f64 logits, golden f64"),
    "3.2": ("final logits against the golden ones", "reference f32 logits, golden f32",
            "reference f64 logits, golden f64"),
    "3.4": ("model.layers.0.mlp_residual against the golden", "model.layers.1.mlp_residual against the golden"),
    "3.6": ("greedy tokens",),
    "5C.1": ("tokens, native and golden",),
}

# What small checkpoints without a tokenizer cannot show: cases that may be skipped as a whole.
MAY_SKIP = {"2.1", "2.2", "2.3", "2.4"}


class Zoo(unittest.TestCase):
    maxDiff = None

    def test_nothing_is_missing(self):
        for folder in (ZOO, SOURCE / "fixtures" / "goldens" / "zoo"):
            there = sorted(path.name for path in folder.iterdir())
            self.assertEqual(there, NAMES, folder)

    def report_of(self, model):
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run([BUILD / "plumbline-phases", "--quick", "--model", model, "--report-dir", folder],
                                   capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(ended.returncode, 0, ended.stdout[-3000:] + ended.stderr)
            return json.loads((Path(folder) / "report.json").read_text())

    def expect_goldens(self, name, report):
        cases = {case["id"]: case for phase in report["phases"] for case in phase["cases"]}
        for phase in report["phases"]:
            self.assertIn(["goldens", f"goldens/zoo/{name}"], phase["environment"])
        for case_id, expected in AGAINST_GOLDENS.items():
            passed = {check["what"] for check in cases[case_id]["checks"] if check["verdict"] == "passed"}
            self.assertEqual(set(expected) - passed, set(), case_id)
        skipped = {case_id for case_id, case in cases.items() if case["counts"]["verdict"] != "passed"}
        self.assertEqual(skipped, MAY_SKIP)

    def test_without_goldens_or_tokenizer(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in (ZOO / "window-5x").iterdir():
                shutil.copy(path, folder)
            weights = Path(folder) / "model.safetensors"
            data = bytearray(weights.read_bytes())
            data[-4] ^= 1  # the last bit of some weight's fraction: other weights, so other goldens
            weights.write_bytes(data)
            report = self.report_of(folder)
        for phase in report["phases"]:
            self.assertNotIn("goldens", dict(phase["environment"]))
            self.assertTrue(any("has nothing for these weights" in text for text in phase["assumptions"]))
        skipped = {case["id"] for phase in report["phases"] for case in phase["cases"]
                   if case["counts"]["verdict"] != "passed"}
        self.assertEqual(skipped, MAY_SKIP | {"3.4", "3.6"})  # both need goldens: what rounding adds up to is shown


def passes(name):
    def test(self):
        self.expect_goldens(name, self.report_of(ZOO / name))
    return test


for zoo_name in NAMES:
    setattr(Zoo, "test_" + zoo_name.replace("-", "_"), passes(zoo_name))

if __name__ == "__main__":
    unittest.main()
