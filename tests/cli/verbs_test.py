"""The verbs as a user runs them: what they print, what they exit with, and that the files they write can be read.

Usage: verbs_test.py BUILD_DIR SOURCE_DIR
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = str(SOURCE / "fixtures" / "models" / "tiny")


class Verbs(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_verb(self, *arguments, status=0, text=""):
        result = subprocess.run([str(BUILD / "plumbline"), *arguments], cwd=self.folder, capture_output=True, text=True,
                                input=text, timeout=300)
        self.assertEqual(result.returncode, status, (arguments, result.stdout, result.stderr))
        return result.stdout

    def trace(self, name, *arguments):
        self.run_verb("trace", "--model", TINY, "--prompt", "The quick brown", "-o", name, *arguments)

    def test_generate_goes_on_counting(self):
        for engine in ("cpu", "reference"):
            text = self.run_verb("generate", "--model", TINY, "--prompt", "1 2 3 4 5", "--engine", engine, "--max-new-tokens", "8")
            self.assertTrue(text.startswith(" 6 7 8 9"), text)

    def test_generate_ids_are_ids_alone(self):
        greedy = self.run_verb("generate", "--model", TINY, "--prompt", "1 2 3 4 5", "--ids", "--cache", "fixed")
        self.assertTrue(all(word.isdigit() for word in greedy.split()), greedy)
        self.assertEqual(greedy, self.run_verb("generate", "--model", TINY, "--prompt", "1 2 3 4 5", "--ids"))

    def test_sampling_repeats_with_its_seed(self):
        sampled = [self.run_verb("generate", "--model", TINY, "--prompt", "Hello", "--temperature", "1.5", "--ids", "--seed", seed)
                   for seed in ("1", "1", "2")]
        self.assertEqual(sampled[0], sampled[1])
        self.assertNotEqual(sampled[0], sampled[2])

    def test_tokenize_takes_text_files_lines_and_standard_input(self):
        tokenize = ["tokenize", "--model", TINY]
        ids = self.run_verb(*tokenize, "--text", "Hello world 123")
        (self.folder / "t.txt").write_text("Hello world 123")
        (self.folder / "t.jsonl").write_text('"Hello world 123"\n""\n')
        self.assertEqual(ids, self.run_verb(*tokenize, "--file", "t.txt"))
        self.assertEqual(ids, self.run_verb(*tokenize, "-", text="Hello world 123"))
        self.assertEqual(ids, self.run_verb(*tokenize, "--text", "Hello world 123", "--engine", "reference"))
        self.assertEqual(ids + "\n", self.run_verb(*tokenize, "--jsonl", "t.jsonl"))
        self.assertIn('"Hello"', self.run_verb(*tokenize, "--text", "Hello", "--pieces"))
        self.assertIn("<0x", self.run_verb(*tokenize, "--text", "wörld", "--pieces"))

    def test_traces_judge_clean_and_compare(self):
        self.trace("cpu.st", "--steps", "3")
        self.trace("again.st", "--steps", "3", "--threads", "1", "--isa", "scalar")
        self.trace("reference.st", "--steps", "3", "--engine", "reference")
        self.trace("f64.st", "--steps", "3", "--engine", "reference", "--dtype", "f64")
        self.assertIn(" passed", self.run_verb("judge", "cpu.st", "--model", TINY, "--report-dir", "r"))
        self.assertTrue((self.folder / "r" / "judge.md").read_text().startswith("# Judgement of cpu.st: passed"))
        self.run_verb("judge", "reference.st", "--model", TINY)
        self.trace("host.st", "--steps", "3", "--engine", "reference", "--device", "cpu")
        self.run_verb("compare", "host.st", "reference.st")
        self.run_verb("compare", "cpu.st", "again.st")
        self.run_verb("compare", "cpu.st", "reference.st", status=1)
        self.trace("norm.st", "--probes", "model.norm")
        self.trace("head.st", "--probes", "lm_head")
        self.run_verb("compare", "norm.st", "head.st", status=3)

    def test_a_wrong_byte_in_a_trace_is_named(self):
        self.trace("t.st")
        path = self.folder / "t.st"
        data = bytearray(path.read_bytes())
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(bytes(data[8:start]))
        begin = header["model.layers.2.self_attn.k_rope"]["data_offsets"][0]
        data[start + begin + 3] ^= 0x01  # an exponent bit of the first element
        path.write_bytes(data)
        output = self.run_verb("judge", "t.st", "--model", TINY, status=1)
        self.assertTrue(output.startswith("first wrong op: model.layers.2.self_attn.k_rope, local error"), output)

    def restate(self, name, **words):
        """Writes other words into a trace's metadata."""
        path = self.folder / name
        data = path.read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start])
        header["__metadata__"].update(words)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[start:])

    def test_bounds_that_were_not_measured_on_a_device_are_said_to_be(self):
        self.trace("t.st")
        told = "no cuda device was measured for the bounds of inv_freq, cos_sin, rms_norm, linear"
        self.run_verb("judge", "t.st", "--model", TINY, "--report-dir", "cpu")
        self.assertNotIn(told, (self.folder / "cpu" / "judge.md").read_text().replace("\\", ""))
        self.restate("t.st", device="cuda")
        self.run_verb("judge", "t.st", "--model", TINY, "--report-dir", "cuda")
        self.assertIn(told, (self.folder / "cuda" / "judge.md").read_text().replace("\\", ""))
        self.restate("t.st", storage_dtype="f16")
        self.run_verb("judge", "t.st", "--model", TINY, status=2)

    def test_a_prefill_of_one_token_leaves_trivial_ops_skipped(self):
        self.run_verb("trace", "--model", TINY, "--prompt", "Hello", "-o", "t.st")
        output = self.run_verb("judge", "t.st", "--model", TINY)
        self.assertIn("skipped", output)

    def test_help_and_info(self):
        for verb in ("tokenize", "generate", "trace", "compare", "judge", "merge", "info"):
            self.assertIn("Example", self.run_verb(verb, "--help"))
        told = self.run_verb("info", "--model", TINY)
        self.assertIn("907600", told)
        self.assertRegex(told, r"LibTorch on the GPU +(a device is there|not usable: LibTorch )")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
