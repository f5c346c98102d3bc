#!/usr/bin/env python3
"""Phase 2 over tokenizers that are broken on purpose: the goldens tell, and the page names the stage, the text and the ids.

    tokenization_test.py BUILD_DIR SOURCE_DIR
"""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, SOURCE = (Path(sys.argv.pop(1)), Path(sys.argv.pop(1))) if len(sys.argv) > 2 else (Path(), Path())
TINY = SOURCE / "fixtures" / "models" / "tiny"


class Tokenization(unittest.TestCase):
    maxDiff = None

    def run_over(self, change, *arguments):
        """Status and report of a quick phase 2 over a copy of tiny whose tokenizer.json went through `change`."""
        with tempfile.TemporaryDirectory() as folder:
            for path in TINY.iterdir():
                shutil.copy(path, folder)
            change(Path(folder))
            part = Path(folder) / "part.json"
            command = [BUILD / "phase2_tokenization", "--quick", "--model", folder, "--part", part, *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            self.assertTrue(part.exists(), ended.stdout[-1000:] + ended.stderr)
            return ended.returncode, json.loads(part.read_text())

    def edited(self, edit):
        def change(folder):
            path = folder / "tokenizer.json"
            tokenizer = json.loads(path.read_text(encoding="utf-8"))
            edit(tokenizer)
            path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
        return change

    def failures(self, report):
        return [check for case in report["cases"] for check in case["checks"] if check["verdict"] == "failed"]

    def expect_stage(self, edit, case, category, stage):
        """Both sides follow the file, so they agree with each other; the goldens are of the right one."""
        status, report = self.run_over(self.edited(edit), "--case", case)
        self.assertEqual(status, 1)
        failed = self.failures(report)
        self.assertEqual({check["what"] for check in failed}, {"native beside the golden", "reference beside the golden"})
        notes = {check["subject"]: check["note"] for check in failed}
        self.assertIn(f"parts at {stage}: expected '", notes[category])
        self.assertRegex(report["headline"], rf"differ between native and golden; the first, .*U\+.*, parts at \*{stage}\*: expected ")
        self.assertTrue(any("other bytes than the one that the goldens were made with" in text for text in report["assumptions"]))
        return report

    def test_without_normalisation(self):
        def edit(tokenizer):
            tokenizer["normalizer"] = None
        report = self.expect_stage(edit, "2.4", "combining marks", "normalise")
        tables = [evidence for entry in report["cases"] for evidence in entry["evidence"]]
        rows = {row[0]: row for table in tables if table["title"] == "Texts by category" for row in table["rows"]}
        self.assertEqual(rows["emoji"][2], "0 of 100")
        self.assertNotEqual(rows["combining marks"][2], "0 of 140")
        self.assertTrue(any(table["title"].startswith("First mismatch of") for table in tables))

    def test_words_without_their_space(self):
        def edit(tokenizer):
            pattern = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]
            self.assertIn(r"|[^\r\n\p{L}\p{N}]?\p{L}+|", pattern["Regex"])
            pattern["Regex"] = pattern["Regex"].replace(r"|[^\r\n\p{L}\p{N}]?\p{L}+|", r"|\p{L}+|")
        self.expect_stage(edit, "2.1", "English", "split")

    def test_merges_in_another_order(self):
        def edit(tokenizer):
            tokenizer["model"]["merges"].reverse()
        self.expect_stage(edit, "2.1", "English", "merge")

    def test_a_special_token_that_is_none(self):
        def edit(tokenizer):
            for token in tokenizer["added_tokens"]:
                if token["content"] == "<|im_end|>":
                    token["content"] = "<|im_END|>"
        status, report = self.run_over(self.edited(edit), "--case", "2.3")
        self.assertEqual(status, 1)
        self.assertIn("parts at *added tokens*", report["headline"])

    def test_without_goldens(self):
        def change(folder):
            weights = folder / "model.safetensors"
            data = bytearray(weights.read_bytes())
            data[-4] ^= 1  # other weights, so no goldens
            weights.write_bytes(data)
        status, report = self.run_over(change)
        self.assertEqual((status, self.failures(report)), (0, []))
        whats = {check["what"] for case in report["cases"] for check in case["checks"]}
        self.assertIn("native beside the reference", whats)
        self.assertFalse({what for what in whats if "beside the golden" in what})

    def test_as_it_is(self):
        status, report = self.run_over(lambda folder: None)
        self.assertEqual((status, report["headline"], self.failures(report)), (0, "", []))
        self.assertFalse(any("other bytes" in text for text in report["assumptions"]))


if __name__ == "__main__":
    unittest.main()
