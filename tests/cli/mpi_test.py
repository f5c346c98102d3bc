"""Two ranks under mpirun judge a trace, as docs/scale.md shows it, and their parts join into the report of the whole.

Usage: mpi_test.py BUILD_DIR SOURCE_DIR

Exit status 77 (skipped) where there is no Open MPI.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = SOURCE / "fixtures" / "models" / "tiny"
RANKS = 2
# The line of docs/scale.md; there with hosts, here with as many ranks on one machine as there are asked for.
RANK = ('"$0" judge "$1" --model "$2" --rank "$OMPI_COMM_WORLD_RANK" --ranks "$OMPI_COMM_WORLD_SIZE" '
        '--threads 1 --stream --part "part.$OMPI_COMM_WORLD_RANK.json"; test $? -le 1')


class Ranks(unittest.TestCase):
    def test_clean(self):
        self.two_ranks(spoiled=False)

    def test_a_rank_that_finds_something_ends_no_other(self):
        self.two_ranks(spoiled=True)

    def two_ranks(self, spoiled):
        with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
            def run(*arguments):
                return subprocess.run([str(part) for part in arguments], cwd=folder, capture_output=True, text=True, timeout=600, check=False)
            plumbline = BUILD / "plumbline"
            run(plumbline, "trace", "--model", TINY, "--tokens", "1,2,3,4,5", "--steps", "2", "-o", "t.st")
            if spoiled:
                data = bytearray((pathlib.Path(folder) / "t.st").read_bytes())
                data[len(data) // 3:len(data) // 3 + 64] = bytes(64)
                (pathlib.Path(folder) / "t.st").write_bytes(data)
            as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
            ranks = run("mpirun", *as_root, "--oversubscribe", "-n", RANKS, "sh", "-c", RANK, plumbline, "t.st", TINY)
            self.assertEqual(ranks.returncode, 0, ranks.stdout + ranks.stderr)
            whole = run(plumbline, "judge", "t.st", "--model", TINY, "--report-dir", "whole")
            merged = run(plumbline, "merge", *(f"part.{rank}.json" for rank in range(RANKS)), "--report-dir", "merged")
            self.assertEqual((whole.returncode, whole.stdout), (merged.returncode, merged.stdout), merged.stderr)
            self.assertEqual(int(spoiled), whole.returncode, whole.stdout)
            pages = [(pathlib.Path(folder) / each / "judge.md").read_text() for each in ("whole", "merged")]
            self.assertEqual(*pages)


def open_mpi():
    found = shutil.which("mpirun")
    said = found and subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return bool(said) and "Open MPI" in said


if __name__ == "__main__":
    if not open_mpi():
        print("no mpirun of Open MPI here (Debian: openmpi-bin)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
