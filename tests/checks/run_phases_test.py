#!/usr/bin/env python3
"""plumbline-phases refuses bad usage with one line and exit status 2, and writes nothing; a run can be compared
with an earlier one.

    run_phases_test.py PROGRAM
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop() if len(sys.argv) > 1 else None
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
TINY = str(FIXTURES / "models" / "tiny")

# What is asked for, and what the line must name.
REFUSED = [
    (["--phase", "6"], "unknown phase '6'"),
    (["--phase", "three"], "unknown phase 'three'"),
    (["--case", "3.9"], "unknown case '3.9'"),
    (["--case", "9.1"], "unknown case '9.1'"),
    (["--engine", "tpu"], "unknown engine 'tpu'"),
    (["--dtype", "f64"], "unknown dtype 'f64'"),
    (["--dtype", "f16", "--engine", "cuda"], "the cuda engine stores f32 and bf16 only"),
    (["--threads", "0"], "--threads"),
    (["--model", "no/such/folder"], "no/such/folder"),
    (["--model"], "--model"),
    (["--model", TINY, "--baseline", "no/such/report.json"], "no/such/report.json"),
    (["--model", TINY, "--baseline", "."], "is no file"),
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
                    result = self.run_phases(["--report-dir", str(reports), "--model", TINY, "--baseline", str(baseline)])
                    self.assertEqual(result.returncode, 2, result)
                    self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                    self.assertIn(f"{name}.json", result.stderr)
                    self.assertIn("not a report of plumbline", result.stderr)
                    self.assertEqual(result.stdout, "", "nothing was run")
                    self.assertFalse(reports.exists())

    def test_against_its_own_report(self):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["--phase", "1", "--quick", "--model", TINY, "--report-dir", folder]
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

    def test_cuda_without_a_device(self):
        for dtype in ("f32", "bf16"):
            with self.subTest(dtype), tempfile.TemporaryDirectory() as folder:
                environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
                result = subprocess.run([PROGRAM, "--engine", "cuda", "--dtype", dtype, "--phase", "1", "--model", TINY,
                                         "--report-dir", folder], capture_output=True, text=True, timeout=60,
                                        check=False, env=environment)
                self.assertEqual(result.returncode, 3, result)
                report = json.loads((Path(folder) / "report.json").read_text())
                self.assertRegex(report["skipped_reason"], "CUDA|driver")
                self.assertEqual(report["phases"], [])

    def test_report_folder_that_cannot_be(self):
        with tempfile.NamedTemporaryFile() as file:
            result = self.run_phases(["--report-dir", file.name, "--phase", "1", "--model", TINY])
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(file.name, result.stderr)

    def installed(self, folder):
        """The program with one suite, in a build folder of its own, where no models were made."""
        programs = Path(folder) / "build"
        programs.mkdir()
        for name in (Path(PROGRAM).name, "phase1_config"):
            shutil.copy(Path(PROGRAM).with_name(name), programs / name)
        return programs / Path(PROGRAM).name, programs / "models" / "slim"

    def test_two_models_without_the_option(self):
        with tempfile.TemporaryDirectory() as folder:
            program, slim = self.installed(folder)
            # A stand-in: the runner takes whatever checkpoint lies there.
            shutil.copytree(FIXTURES / "models" / "zoo" / "gqa", slim)
            reports = Path(folder) / "reports"
            command = [program, "--case", "1.1", "--report-dir", reports]
            result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(result.returncode, 0, result)
            report = json.loads((reports / "report.json").read_text())
            self.assertEqual([(phase["phase"], phase["model"], phase["folder"]) for phase in report["phases"]],
                             [(1, "fixtures/models/tiny", ""), (1, str(slim), "slim")])
            for phase, model in zip(report["phases"], ("fixtures/models/tiny", str(slim))):
                self.assertEqual(phase["repeat_command"], f"./run_phases.sh --phase 1 --model {model}")
            self.assertIn("goldens/tiny", (reports / "phase1_config.md").read_text())
            self.assertIn("goldens/zoo/gqa", (reports / "slim" / "phase1_config.md").read_text())
            self.assertIn("Phase 1: config, slim", result.stdout)

            again = subprocess.run([*command, "--baseline", reports / "report.json"], capture_output=True, text=True,
                                   timeout=120, check=False)
            self.assertIn("no change in phases 1, 1 (slim)\n", again.stdout)
            # What is wrong with the second model is wrong with the run.
            weights = slim / "model.safetensors"
            os.truncate(weights, weights.stat().st_size - 5)
            broken = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(broken.returncode, 2, broken)
            self.assertIn("model.safetensors", broken.stderr)

            alone = subprocess.run([*command, "--model", TINY], capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(alone.returncode, 0, alone)
            self.assertFalse((reports / "slim").exists(), "a page of a model that was not judged")

    def test_slim_that_was_not_made(self):
        with tempfile.TemporaryDirectory() as folder:
            program, slim = self.installed(folder)
            result = subprocess.run([program, "--phase", "1"], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(result.returncode, 2, result)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            for words in (str(slim), "./run_phases.sh makes it", "--model"):
                self.assertIn(words, result.stderr)

    def test_help(self):
        result = self.run_phases(["--help"])
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("--report-dir", result.stdout)
        self.assertIn("Example:", result.stdout)


if __name__ == "__main__":
    unittest.main()
