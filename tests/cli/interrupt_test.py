"""Ctrl-C at any time: exit status 130, the old output as it was or the new one whole, and nothing else left behind.

Each command is stopped after random times, and in the moment when its temporary file appears. A run that is done before
the signal reaches it may leave its whole output.

Usage: interrupt_test.py BUILD_DIR SOURCE_DIR
"""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = str(SOURCE / "fixtures" / "models" / "tiny")
PLUMBLINE = str(BUILD / "plumbline")
PROMPT = " ".join(str(number) for number in range(300))
STOPS = 5


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def start(command, folder):
    """In a session of its own, as a terminal's foreground job, and with the signals that a shell gives it."""
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def wait_for_temporary(process, folder):
    """Until a file appears that is not yet whole; False when the process ends first."""
    while process.poll() is None:
        for _, _, names in os.walk(folder):
            if any(".tmp" in name for name in names):
                return True
    return False


class Interrupts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))
        self.random = random.Random(7)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def interrupted(self, command, until, before, whole, changes=()):
        """One run, stopped when until(process) returns. `changes` are the names that differ from run to run."""
        place = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for name, content in before.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        process = start(command, place)
        until(process, place)
        finished = process.poll() is not None
        if not finished:
            os.killpg(process.pid, signal.SIGINT)
        status = process.wait(timeout=60)
        status = 128 - status if status < 0 else status  # as a shell shows it
        found = contents(place)
        if status != 130:
            self.assertEqual(status, 0, command)
        if found != {**contents_of(before)} or status == 0:
            self.assertEqual(set(found), set(whole), (command, status))
            for name in set(found) - set(changes):
                self.assertEqual(found[name], whole[name], f"{name} is not whole")
        with self.assertRaises(ProcessLookupError):
            os.killpg(process.pid, 0)  # nobody of the session lives on
        shutil.rmtree(place)
        return status

    def stopped_anywhere(self, command, before=None, changes=()):
        before = before or {}
        begin = time.monotonic()
        place = self.folder / "whole"
        for name, content in before.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        place.mkdir(exist_ok=True)
        self.assertEqual(start(command, place).wait(timeout=300), 0, command)
        lasts = time.monotonic() - begin
        whole = contents(place)
        times = [self.random.uniform(0, lasts) for _ in range(STOPS)]
        stops = [lambda process, folder, at=at: time.sleep(at) for at in times]
        writes = set(whole) != set(before)
        if writes:
            stops += [wait_for_temporary] * 2
        statuses = [self.interrupted(command, stop, before, whole, changes) for stop in stops]
        self.assertIn(130, statuses, f"{command} was never interrupted")

    def test_trace(self):
        self.stopped_anywhere([PLUMBLINE, "trace", "--model", TINY, "--prompt", PROMPT, "-o", "t.safetensors"])

    def test_trace_of_the_reference_over_an_old_file(self):
        self.stopped_anywhere([PLUMBLINE, "trace", "--model", TINY, "--prompt", PROMPT, "--engine", "reference", "-o", "t"],
                              {"t": b"old"})

    def test_generate(self):
        self.stopped_anywhere([PLUMBLINE, "generate", "--model", TINY, "--prompt", "1 2 3", "--max-new-tokens", "200"])

    def test_judge(self):
        trace = self.folder / "t.safetensors"
        subprocess.run([PLUMBLINE, "trace", "--model", TINY, "--prompt", "The quick brown", "-o", trace], check=True,
                       stderr=subprocess.DEVNULL)
        self.stopped_anywhere([PLUMBLINE, "judge", str(trace), "--model", TINY, "--report-dir", "a/b"])

    def test_make_model(self):
        self.stopped_anywhere([str(BUILD / "plumbline-make-model"), "--shape", "slim", "-o", "made/model"])

    def test_phases(self):
        command = [str(BUILD / "plumbline-phases"), "--phase", "4", "--quick", "--model", TINY, "--report-dir", "r"]
        pages = ["r/SUMMARY.md", "r/report.json", "r/junit.xml", "r/phase4_sampling.md"]
        self.stopped_anywhere(command, changes=pages)
        self.stopped_anywhere(command, {page: b"old" for page in pages}, changes=pages)


def contents_of(before):
    """`before` as contents() would show it: with its folders."""
    parents = {str(parent): None for name in before for parent in pathlib.Path(name).parents if str(parent) != "."}
    return {**parents, **before}


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
