"""What may not be read or written, and disks that are full: exit status 2, one line, nothing left behind, old files as they
were.

Root may read and write everything: the commands then run without the capabilities that say so. Where those cannot be
dropped the test is skipped (exit status 77).

Usage: permissions_test.py BUILD_DIR SOURCE_DIR
"""
import ctypes
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = SOURCE / "fixtures" / "models" / "tiny"
PLUMBLINE = str(BUILD / "plumbline")
PHASES = str(BUILD / "plumbline-phases")
MAKE_MODEL = str(BUILD / "plumbline-make-model")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
FILE_LIMIT = 1024  # bytes that a file may have where the disk is "full"
LIBC = ctypes.CDLL(None)


def obey_permissions():
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def permissions_are_obeyed():
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        return subprocess.run(["cat", file.name], stderr=subprocess.DEVNULL, preexec_fn=obey_permissions).returncode != 0


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))
        self.model = self.folder / "model"
        shutil.copytree(TINY, self.model)
        self.trace = self.folder / "old.safetensors"
        self.record_trace()

    def record_trace(self):
        subprocess.run([PLUMBLINE, "trace", "--model", str(TINY), "--tokens", "1,2", "-o", str(self.trace)], check=True,
                       stderr=subprocess.DEVNULL)

    def tearDown(self):
        for path in [self.folder, *self.folder.rglob("*")]:
            path.chmod(0o755)
        shutil.rmtree(self.folder)

    def refused(self, command, *words, before_exec=obey_permissions, stdout=subprocess.PIPE):
        modes = {path: path.stat().st_mode for path in self.folder.rglob("*")}
        result = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                preexec_fn=before_exec, timeout=300)
        said = result.stderr.decode(errors="replace").strip()
        self.assertEqual(result.returncode, 2, (command, said))
        line = said.splitlines()[-1] if said else ""
        self.assertTrue(line.startswith("plumbline"), (command, said))
        for word in words:
            self.assertIn(word, line, command)
        self.assertEqual(modes, {path: path.stat().st_mode for path in self.folder.rglob("*")}, "something was left behind")
        return said

    def refused_by_all(self, words, *commands, **how):
        for command in commands:
            with self.subTest(command=" ".join(pathlib.Path(str(word)).name for word in command)):
                said = self.refused([str(word) for word in command], *words, **how)
                self.assertEqual(len(said.splitlines()), 1, said)

    def trace_with(self, engine):
        return [PLUMBLINE, "trace", "--model", "model", "--tokens", "1", "--engine", engine, "-o", "t"]


class Permissions(Refusals):
    def test_checkpoint_files(self):
        phases = [PHASES, "--phase", "1", "--model", "model", "--report-dir", "r"]
        for name in ("config.json", "model.safetensors"):
            (self.model / name).chmod(0)
            self.refused_by_all([name], self.trace_with("cpu"), self.trace_with("reference"), phases)
            (self.model / name).chmod(0o644)
        (self.model / "tokenizer.json").chmod(0)
        self.refused_by_all(["tokenizer.json"], *([PLUMBLINE, "tokenize", "--model", "model", "--text", "a", "--engine", name]
                                                  for name in ("native", "reference")),
                            [PLUMBLINE, "generate", "--model", "model", "--prompt", "a"])
        self.model.chmod(0)
        self.refused_by_all(["model"], self.trace_with("cpu"), self.trace_with("reference"), phases)

    def test_shards(self):
        (self.model / "model.safetensors").rename(self.model / "1.safetensors")
        index = self.model / "model.safetensors.index.json"
        index.write_text('{"weight_map": {"model.norm.weight": "1.safetensors"}}')
        for path in (self.model / "1.safetensors", index):
            path.chmod(0)
            self.refused_by_all([path.name], self.trace_with("cpu"), self.trace_with("reference"))
            path.chmod(0o644)

    def test_other_input(self):
        for name, command in {
                "old.safetensors": [PLUMBLINE, "judge", "old.safetensors", "--model", TINY],
                "tolerances.yaml": [PLUMBLINE, "judge", "old.safetensors", "--model", TINY, "--tolerances", "tolerances.yaml"],
                "text.txt": [PLUMBLINE, "tokenize", "--model", TINY, "--file", "text.txt"],
                "report.json": [PHASES, "--phase", "1", "--model", TINY, "--baseline", "report.json",
                                "--report-dir", "r"]}.items():
            path = self.folder / name
            if not path.exists():
                path.write_text("text")
            path.chmod(0)
            self.refused_by_all([name], command)
            path.unlink()
            path.mkdir()
            self.refused_by_all([name], command)
            path.rmdir()
            if name == "old.safetensors":
                self.record_trace()

    def test_places_that_are_read_only(self):
        place = self.folder / "place"
        place.mkdir()
        place.chmod(0o555)
        self.refused_by_all(["place"],
                            [PLUMBLINE, "trace", "--model", TINY, "--tokens", "1", "-o", "place/t"],
                            [PLUMBLINE, "judge", "old.safetensors", "--model", TINY, "--report-dir", "place"],
                            [PLUMBLINE, "judge", "old.safetensors", "--model", TINY, "--report-dir", "place/a/b"],
                            [MAKE_MODEL, "-o", "place"], [MAKE_MODEL, "-o", "place/model"],
                            [PHASES, "--phase", "1", "--model", TINY, "--report-dir", "place"],
                            [PHASES, "--phase", "1", "--model", TINY, "--report-dir", "place/a/b"])


class FullDisks(Refusals):
    def test_files(self):
        reports = self.folder / "old"
        reports.mkdir()
        for name in ("SUMMARY.md", "report.json", "phase4_sampling.md"):
            (reports / name).write_text("old")
        before = contents(self.folder)
        self.refused_by_all(["disk full"],
                            [PLUMBLINE, "trace", "--model", TINY, "--prompt", "Hello", "-o", "t"],
                            [PLUMBLINE, "trace", "--model", TINY, "--prompt", "Hello", "-o", "old.safetensors"],
                            [PLUMBLINE, "judge", "old.safetensors", "--model", TINY, "--report-dir", "r"],
                            [MAKE_MODEL, "-o", "m/n"], before_exec=limit_file_size)
        for place in ("old", "r/s"):
            self.refused([PHASES, "--phase", "4", "--quick", "--model", str(TINY), "--report-dir", place], "disk full",
                         before_exec=limit_file_size)
        self.assertTrue(before == contents(self.folder), "an old file was changed")

    def test_standard_output(self):
        with open("/dev/full", "wb") as full:
            for command in ([PLUMBLINE, "info", "--model", str(TINY)],
                            [PLUMBLINE, "tokenize", "--model", str(TINY), "--text", "Hello"],
                            [PLUMBLINE, "generate", "--model", str(TINY), "--prompt", "Hello", "--ids"],
                            [PLUMBLINE, "compare", "old.safetensors", "old.safetensors"],
                            [PLUMBLINE, "judge", "old.safetensors", "--model", str(TINY)]):
                self.refused(command, "standard output", "disk full", stdout=full)

    def test_devices_and_directories_as_output(self):
        (self.folder / "d").mkdir()
        self.refused_by_all(["no regular file"],
                            [PLUMBLINE, "trace", "--model", TINY, "--tokens", "1", "-o", "/dev/full"],
                            [PLUMBLINE, "trace", "--model", TINY, "--tokens", "1", "-o", "d"])
        self.refused_by_all(["old.safetensors"],
                            [PLUMBLINE, "trace", "--model", TINY, "--tokens", "1", "-o", "old.safetensors/t"],
                            [PLUMBLINE, "judge", "old.safetensors", "--model", TINY, "--report-dir", "old.safetensors"],
                            [MAKE_MODEL, "-o", "old.safetensors"], [MAKE_MODEL, "-o", "old.safetensors/m"],
                            [PHASES, "--phase", "1", "--model", TINY, "--report-dir", "old.safetensors"])


if __name__ == "__main__":
    if not permissions_are_obeyed():
        print("skipped: root's right to read and write everything cannot be dropped here")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
