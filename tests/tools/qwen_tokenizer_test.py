"""Qwen2's tokenizer from its table of ranks: counts, ids and bytes that are known, and no other table is taken.

Usage: qwen_tokenizer_test.py BUILD_DIR SOURCE_DIR

Exit status 77 (skipped) where no python has the package that carries the ranks, as without a network.
"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
MAKER = SOURCE / "tools" / "make_qwen_tokenizer.py"
FIND = ("import importlib.util as u; print(u.find_spec('dashscope').submodule_search_locations[0])")


def find_ranks():
    for python in (sys.executable, SOURCE / ".venv" / "bin" / "python"):
        if not pathlib.Path(python).exists():
            continue
        found = subprocess.run([python, "-c", FIND], capture_output=True, text=True)
        ranks = pathlib.Path(found.stdout.strip() or "none") / "resources" / "qwen.tiktoken"
        if found.returncode == 0 and ranks.exists():
            return ranks
    return None


RANKS = find_ranks()


def make(ranks, folder):
    return subprocess.run([sys.executable, str(MAKER), str(ranks), str(folder)], capture_output=True, text=True, timeout=120)


class QwenTokenizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="plumbline-")
        cls.folder = pathlib.Path(cls.temporary.name)
        made = make(RANKS, cls.folder)
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_counts_and_ids(self):
        vocab = json.loads((self.folder / "vocab.json").read_text(encoding="utf-8"))
        merges = (self.folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        whole = json.loads((self.folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.assertEqual(len(vocab), 151643)
        self.assertEqual(len(merges) - 1, 151387)
        self.assertEqual((whole["model"]["vocab"], whole["model"]["merges"]), (vocab, merges[1:]))
        self.assertEqual(merges[1], "\u0120 \u0120")  # two spaces
        self.assertEqual((vocab["Hello"], vocab["The"], vocab["1"], vocab["2"], vocab["3"]), (9707, 785, 16, 17, 18))
        added = {token["content"]: token["id"] for token in whole["added_tokens"]}
        self.assertEqual(added, {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645})

    def test_the_goldens_are_of_these_bytes(self):
        golden = json.loads((SOURCE / "fixtures" / "goldens" / "slim" / "tokenization.json").read_text(encoding="utf-8"))
        made = hashlib.sha256((self.folder / "tokenizer.json").read_bytes()).hexdigest()
        self.assertEqual(made, golden["tokenizer_sha256"])

    def test_both_sides_take_it(self):
        for side in ("native", "reference"):
            command = [str(BUILD / "plumbline"), "tokenize", "--model", str(self.folder), "--engine", side, "--ids",
                       "--text"]
            for text, ids in (("Hello", "9707"), ("The", "785"), ("123", "16 17 18"), ("<|im_end|>", "151645")):
                result = subprocess.run([*command, text], capture_output=True, text=True, timeout=120)
                self.assertEqual((result.returncode, result.stdout.strip()), (0, ids), result.stderr)

    def test_another_table_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            other, out = pathlib.Path(folder) / "other.tiktoken", pathlib.Path(folder) / "out"
            for data in (RANKS.read_bytes().replace(b" 9707\n", b" 9708\n"), b"", b"IQ== 0\n"):
                other.write_bytes(data)
                result = make(other, out)
                self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
                self.assertIn("other.tiktoken", result.stderr)
                self.assertFalse(out.exists())
            self.assertEqual(make(pathlib.Path(folder) / "none", out).returncode, 2)

    def test_a_folder_that_cannot_be_is_refused(self):
        with tempfile.NamedTemporaryFile() as file:
            result = make(RANKS, file.name)
            self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)


if __name__ == "__main__":
    if RANKS is None:
        print("skipped: no python has dashscope, which carries the ranks; ./run_tests.sh installs it")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
