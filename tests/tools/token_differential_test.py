#!/usr/bin/env python3
"""The differential run: the same texts by a seed, no mismatch on tiny, and mismatches where one side's file is another.

    token_differential_test.py BUILD_DIR SOURCE_DIR
"""
import importlib.util
import json
import subprocess
import sys
import tempfile
import unicodedata
import unittest
from pathlib import Path

BUILD, SOURCE = (Path(sys.argv.pop(1)), Path(sys.argv.pop(1))) if len(sys.argv) > 2 else (Path(), Path())
TINY = SOURCE / "fixtures" / "models" / "tiny"
PROGRAM = BUILD / "plumbline-token-differential"


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def texts(seed, count):
    ended = run("--model", TINY, "--seed", seed, "--count", count, "--texts")
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.split("\n") if line]


class TokenDifferential(unittest.TestCase):
    def other_file(self, folder, change):
        file = json.loads((TINY / "tokenizer.json").read_text())
        change(file)
        (Path(folder) / "tokenizer.json").write_text(json.dumps(file))

    def test_both_sides_agree_on_tiny(self):
        ended = run("--model", TINY, "--count", 5000, "--seed", 3)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn(" 0 mismatches", ended.stdout)

    def test_texts_follow_from_seed_and_number(self):
        first = texts(1, 300)
        self.assertEqual(first, texts(1, 300))
        self.assertNotEqual(first, texts(2, 300))
        ended = run("--model", TINY, "--seed", 1, "--from", 100, "--count", 1, "--texts")
        self.assertEqual(json.loads(ended.stdout), first[100])

    def test_texts_have_what_tokenizers_disagree_on(self):
        drawn = "".join(entry[0] for entry in texts(1, 3000))
        kinds = {unicodedata.category(c) for c in drawn}
        self.assertLessEqual({"Lu", "Ll", "Lo", "Mn", "Nd", "No", "Zs", "Cc", "Cf", "Cn", "So", "Po"}, kinds)
        for part in ("<|im_start|>", "<|im_", "\r\n", "'ll", "\u017f", "\u200d", "\u1100"):
            self.assertIn(part, drawn)
        lengths = [len(entry[0]) for entry in texts(1, 3000)]
        self.assertEqual(min(lengths), 0)
        self.assertGreater(max(lengths), 60)

    def test_another_file_is_seen(self):
        def digits(file):
            split = file["pre_tokenizer"]["pretokenizers"][0]["pattern"]
            split["Regex"] = split["Regex"].replace("(?i:'s", "(?:'s")

        for name, change in {"no NFC": lambda file: file.update(normalizer=None), "contractions": digits}.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                self.other_file(folder, change)
                counts = Path(folder) / "counts.json"
                ended = run("--model", TINY, "--reference", folder, "--count", 5000, "--json", counts)
                self.assertEqual(ended.returncode, 1, ended.stdout + ended.stderr)
                report = json.loads(counts.read_text())
                self.assertGreater(report["mismatches"], 0)
                self.assertEqual(report["texts"], 5000)
                self.assertEqual(report["compared"] + sum(report["excluded"].values()), 5000)
                self.assertRegex(report["first"][0]["parts_at"], "^(normalise|split): expected ")

    def test_nothing_compared_is_no_pass(self):
        self.assertEqual(run("--model", TINY, "--count", 0).returncode, 1)
        self.assertEqual(run("--model", TINY / "nowhere", "--count", 1).returncode, 2)
        self.assertEqual(run("--count", 1).returncode, 2)

    def script(self, *arguments):
        return subprocess.run([sys.executable, SOURCE / "tools" / "token_differential.py", "--program", PROGRAM, *map(str, arguments)],
                              capture_output=True, text=True, timeout=120, check=False)

    def test_the_script_records_what_it_ran(self):
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "record.json"
            ended = self.script("--model", TINY, "--reference-texts", 2000, "--tokenizers-texts", 0, "--seed", 5, "--json", record)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
            made = json.loads(record.read_text())
            self.assertEqual(made["runs"]["the reference"]["seed"], 5)
            self.assertEqual(made["runs"]["the reference"]["texts"], 2000)
            self.assertRegex(made["date"], r"^\d{4}-\d\d-\d\d$")
            self.assertEqual(len(made["tokenizer_sha256"]), 64)

    @unittest.skipUnless(importlib.util.find_spec("tokenizers"), "no tokenizers")
    def test_tokenizers_is_asked(self):
        ended = self.script("--model", TINY, "--reference-texts", 0, "--tokenizers-texts", 3000)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn("| 3000 | 3000 | 0 | 0 |", ended.stdout)

    @unittest.skipUnless(importlib.util.find_spec("tokenizers"), "no tokenizers")
    def test_a_program_that_gives_other_ids_is_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            liar = Path(folder) / "liar.py"
            liar.write_text(f"#!{sys.executable}\nimport json\nprint(json.dumps(['Hello', 1, 2]))\n")
            liar.chmod(0o755)
            ended = subprocess.run([sys.executable, SOURCE / "tools" / "token_differential.py", "--program", liar, "--model", TINY,
                                    "--reference-texts", "0", "--tokenizers-texts", "1"], capture_output=True, text=True, check=False)
            self.assertEqual(ended.returncode, 1, ended.stdout + ended.stderr)
            self.assertIn("got [1, 2]", ended.stdout)


if __name__ == "__main__":
    unittest.main()
