#!/usr/bin/env python3
"""The CUDA engine under the phase suites and the commands, over the emulated device.

    emulated_test.py BUILD_DIR SOURCE_DIR [f32 | bf16 | commands]
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, SOURCE = (Path(sys.argv.pop(1)).resolve(), Path(sys.argv.pop(1)).resolve()) if len(sys.argv) > 2 else (Path(), Path())
EMULATED = BUILD / "emulated"
TINY = SOURCE / "fixtures" / "models" / "tiny"
ZOO = SOURCE / "fixtures" / "models" / "zoo"


class Emulated(unittest.TestCase):
    def run_phases(self, *options, **variables):
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run([EMULATED / "plumbline-phases", "--engine", "cuda", "--quick", *options,
                                    "--report-dir", folder], capture_output=True, text=True, check=False,
                                   env=os.environ | variables)
            self.assertEqual(ended.returncode, 0, ended.stdout[-3000:] + ended.stderr)
            report = json.loads((Path(folder) / "report.json").read_text())
        for phase in report["phases"]:
            # It never passes for a GPU.
            self.assertIn("emulated on the host", json.dumps(phase))
        return {case["id"]: case for phase in report["phases"] for case in phase["cases"]}

    def expect_judged(self, case, least):
        passed = [check for check in case["checks"] if check["verdict"] == "passed"]
        self.assertGreater(sum(check.get("count", 1) for check in passed), least)

    def run_zoo(self, dtype, least):
        models = sorted(path for path in ZOO.iterdir() if path.is_dir())
        self.assertGreater(len(models), 10)
        for model in models:
            with self.subTest(model=model.name):
                cases = self.run_phases("--model", model, "--dtype", dtype, "--phase", "3")
                self.expect_judged(cases["3.3"], least)

    def run_command(self, program, *options):
        return subprocess.run([program, *options], capture_output=True, text=True, check=False)


class F32(Emulated):
    def test_what_the_engine_has_a_part_in(self):
        cases = self.run_phases("--model", TINY, "--phase", "1", "--phase", "3", "--phase", "4", "--phase", "5")
        self.assertEqual({case["counts"]["verdict"] for case in cases.values()}, {"passed"})
        for name, least in (("3.3", 1000), ("3.5", 500), ("4B.3", 1000), ("5A.2", 1000), ("5C.3", 200)):
            self.expect_judged(cases[name], least)
        # A second opinion that cannot be had is skipped, with its reason.
        beside = [check for check in cases["3.3"]["checks"] if "LibTorch on the GPU" in check["what"]]
        for check in beside:
            if check["verdict"] != "passed":
                self.assertEqual(check["verdict"], "skipped")
                self.assertRegex(check["note"], "LibTorch (was built without CUDA|sees no CUDA device)")
        self.assertTrue(beside)

    def test_every_model_of_the_zoo(self):
        self.run_zoo("f32", 100)

    # Its rows are whole 16 bytes: a step of one sequence is one persistent kernel.
    def test_generation_by_a_kernel_for_each_step(self):
        cases = self.run_phases("--model", ZOO / "aligned", "--phase", "5")
        self.assertEqual({case["counts"]["verdict"] for case in cases.values()}, {"passed"})
        self.expect_judged(cases["5C.3"], 200)

    def test_another_order_of_threads_and_streams_at_once(self):
        cases = self.run_phases("--model", ZOO / "window-4x", "--phase", "3", PLUMBLINE_EMULATION_ORDER="shuffled:3",
                                PLUMBLINE_EMULATION_STREAMS="eager")
        self.expect_judged(cases["3.3"], 100)


class Bf16(Emulated):
    def test_op_by_op_and_what_must_not_change_a_bit(self):
        cases = self.run_phases("--model", TINY, "--dtype", "bf16", "--phase", "3", "--case", "5A.1", "--case", "5C.3")
        for name, least in (("3.3", 500), ("5A.1", 100), ("5C.3", 100)):
            self.expect_judged(cases[name], least)

    def test_generation_by_a_kernel_for_each_step(self):
        cases = self.run_phases("--model", ZOO / "aligned", "--dtype", "bf16", "--case", "5A.1", "--case", "5C.3")
        self.expect_judged(cases["5C.3"], 100)

    def test_every_model_of_the_zoo(self):
        self.run_zoo("bf16", 50)

    def run_by_rows(self, phase, model, case):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.json"
            ended = self.run_command(EMULATED / f"phase{phase}_by_rows", "--engine", "cuda", "--dtype", "bf16", "--model",
                                     model, "--quick", "--case", case, "--part", part)
            self.assertEqual(ended.returncode, 0, ended.stdout[-3000:] + ended.stderr)
            return json.loads(part.read_text())["cases"]

    def test_sums_that_depend_on_the_number_of_rows_are_skipped_not_passed(self):
        checks = [check for case in self.run_by_rows(5, TINY, "5C.3") for check in case["checks"]]
        skipped = [check for check in checks if check["verdict"] == "skipped"]
        self.assertTrue(any("cuBLASLt" in check["note"] for check in skipped), skipped)
        self.assertTrue(any("beside others" in check["what"] + check["subject"] for check in checks
                            if check["verdict"] == "passed"))

    def test_attention_on_tensor_cores_beside_the_library(self):
        for case in ("3.2", "3.3", "3.5"):
            with self.subTest(case=case):
                for each in self.run_by_rows(3, ZOO / "aligned", case):
                    self.assertEqual(each["counts"]["verdict"], "passed")


class Commands(Emulated):
    def test_greedy_text_is_the_cpu_engines(self):
        texts = []
        for program, engine in ((BUILD / "plumbline", "cpu"), (EMULATED / "plumbline", "cuda")):
            ended = self.run_command(program, "generate", "--engine", engine, "--model", TINY, "--prompt", "1 2 3 4 5",
                                     "--max-new-tokens", "12", "--ids")
            self.assertEqual(ended.returncode, 0, ended.stderr)
            texts.append(ended.stdout)
        self.assertEqual(*texts)
        self.assertGreater(len(texts[0].split()), 5)

    def test_a_trace_is_judged(self):
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "trace.safetensors"
            ended = self.run_command(EMULATED / "plumbline", "trace", "--engine", "cuda", "--model", TINY, "--prompt",
                                     "The quick brown", "--steps", "3", "-o", trace)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            judged = self.run_command(BUILD / "plumbline", "judge", trace, "--model", TINY, "--report-dir", folder)
            self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_info_names_the_device(self):
        ended = self.run_command(EMULATED / "plumbline", "info")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("emulated on the host", ended.stdout)

    def test_what_it_does_not_store_is_one_line(self):
        ended = self.run_command(EMULATED / "plumbline", "generate", "--engine", "cuda", "--dtype", "f16", "--model", TINY,
                                 "--prompt", "a")
        self.assertEqual(ended.returncode, 2)
        self.assertRegex(ended.stderr, r"\Aplumbline: .*f16.*\n\Z")


CLASSES = {"f32": F32, "bf16": Bf16, "commands": Commands}

if __name__ == "__main__":
    asked = [CLASSES[sys.argv.pop(1)]] if len(sys.argv) > 1 and sys.argv[1] in CLASSES else list(CLASSES.values())
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(each) for each in asked)
    sys.exit(0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1)
