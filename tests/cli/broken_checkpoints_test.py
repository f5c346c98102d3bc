"""Every row of broken_checkpoints.py is refused by the native engine, the reference and the phases: exit status 2,
one line on stderr with the row's words, no file left behind, and no memory taken for what a file merely claims.

Usage: broken_checkpoints_test.py BUILD_DIR SOURCE_DIR
"""
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import broken_checkpoints as table

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = SOURCE / "fixtures" / "models" / "tiny"
MEMORY = 3 << 30  # of data; code and mapped files are not counted
LONGEST_LINE = 1000


def commands(model, reads_text):
    given = ["--prompt", "Hello"] if reads_text else ["--tokens", "1"]
    plumbline = str(BUILD / "plumbline")
    runs = [[plumbline, "trace", "--model", model, "--engine", "cpu", *given, "-o", "t"],
            [str(BUILD / "plumbline-phases"), "--phase", "1", "--model", model, "--report-dir", "r"]]
    if reads_text:
        runs += [[plumbline, "tokenize", "--model", model, "--engine", name, "--text", "a"]
                 for name in ("native", "reference")]
    else:
        runs.append([plumbline, "trace", "--model", model, "--engine", "reference", *given, "-o", "t"])
    return runs


def sanitized():
    """AddressSanitizer reserves terabytes of address space, and counts them as data."""
    return b"__asan_init" in (BUILD / "plumbline").read_bytes()


def limit_memory():
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def complaint(command, folder, words):
    """What is wrong with how `command` refused; empty when nothing is."""
    before = sorted(folder.rglob("*"))
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=20,
                                preexec_fn=None if sanitized() else limit_memory)
    except subprocess.TimeoutExpired:
        return "did not end"
    said = result.stderr.decode(errors="replace")
    lines = said.strip().splitlines()
    if result.returncode != 2:
        return f"exit status {result.returncode}: {said[:300]}"
    if len(lines) != 1 or len(lines[0]) > LONGEST_LINE or not lines[0].startswith("plumbline: "):
        return f"not one short line: {said[:300]}"
    for word in words:
        if not any(choice in lines[0] for choice in word.split("|")):
            return f"'{word}' is not in: {lines[0]}"
    return "" if before == sorted(folder.rglob("*")) else "something was left behind"


class BrokenCheckpoints(unittest.TestCase):
    def refused(self, row, reads_text=False):
        with tempfile.TemporaryDirectory(prefix="plumbline-") as name:
            folder = pathlib.Path(name)
            shutil.copytree(TINY, folder / "model")
            row.breaker(folder / "model")
            return [f"{row.what}: {pathlib.Path(command[0]).name} {' '.join(command[1:6:2])}: {wrong}"
                    for command in commands("model", reads_text) if (wrong := complaint(command, folder, row.words))]

    def all_refused(self, rows, reads_text=False):
        with ThreadPoolExecutor(2) as pool:
            wrong = [line for lines in pool.map(lambda row: self.refused(row, reads_text), rows) for line in lines]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_the_sound_checkpoint_is_not_refused(self):
        for reads_text in (False, True):
            sound = table.Row("sound", lambda model: None, [])
            self.assertEqual(len(self.refused(sound, reads_text)), len(commands("model", reads_text)))

    def test_odd_checkpoints_that_are_sound(self):
        plumbline = str(BUILD / "plumbline")
        with tempfile.TemporaryDirectory(prefix="plumbline-") as name:
            folder = pathlib.Path(name)
            for number, row in enumerate([table.Row("the checkpoint itself", lambda model: None, []), *table.SOUND]):
                model = folder / f"model{number}"
                shutil.copytree(TINY, model)
                row.breaker(model)
                runs = [[plumbline, "trace", "--model", str(model), "--engine", engine, "--prompt", "Hello 1 2 3",
                         "-o", str(folder / f"{engine}{number}")] for engine in ("cpu", "reference")]
                runs += [[plumbline, "compare", str(folder / f"{engine}{number}"), str(folder / f"{engine}0")]
                         for engine in ("cpu", "reference")]
                runs.append([plumbline, "judge", str(folder / f"cpu{number}"), "--model", str(model)])  # equal weight hashes
                for command in runs:
                    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
                    self.assertEqual(result.returncode, 0, f"{row.what}: {command[1]}: {result.stdout}{result.stderr}")

    def test_config(self):
        self.all_refused(table.CONFIG)

    def test_safetensors(self):
        self.all_refused(table.SAFETENSORS)

    def test_index(self):
        self.all_refused(table.INDEX)

    def test_tokenizer(self):
        self.all_refused(table.TOKENIZER, reads_text=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
