"""`plumbline generate` as a user has it: prompts, conversations, streams, a terminal, Ctrl-C.

Usage: generate_test.py BUILD_DIR SOURCE_DIR
"""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = str(SOURCE / "fixtures" / "models" / "tiny")
COMMAND = [str(BUILD / "plumbline"), "generate", "--model", TINY]
NO_END = ["--logit-bias", "999=-inf", "--logit-bias", "997=-inf"]  # it never stops by itself


class Generate(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_it(self, *arguments, status=0, text=""):
        result = subprocess.run(COMMAND + list(arguments), cwd=self.folder, capture_output=True, input=text.encode(), timeout=300)
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, status, (arguments, result.stdout, result.stderr))
        return result

    def refused(self, *arguments, words=()):
        result = self.run_it(*arguments, status=2)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_stops(self):
        whole = self.run_it("--prompt", "1 2 3 4 5", "--max-new-tokens", "12").stdout
        self.assertTrue(whole.startswith(" 6 7 8 9"), whole)
        stopped = self.run_it("--prompt", "1 2 3 4 5", "--max-new-tokens", "12", "--stop", "never", "--stop", "8 9")
        self.assertEqual(stopped.stdout, " 6 7 \n")
        self.assertIn("stopped by stop_string", stopped.stderr)
        ids = self.run_it("--tokens", "17,18,19", "--max-length", "8", *NO_END, "--ids").stdout.split()
        self.assertEqual(len(ids), 5)
        self.assertEqual(len(self.run_it("--tokens", "17,18,19", "--max-length", "8", "--max-new-tokens", "9", *NO_END,
                                         "--ids").stdout.split()), 9)

    def test_an_empty_prompt_begins_with_the_first_token(self):
        begun = self.run_it("--prompt", "", "--ids", "--max-new-tokens", "5").stdout
        self.assertEqual(begun, self.run_it("--tokens", "997", "--ids", "--max-new-tokens", "5").stdout)

    def test_timed(self):
        for arguments in (["--prompt", "1 2 3"], ["--prompt", "1 2 3", "--system", "You count."]):
            text = self.run_it(*arguments, "--timed", "--max-new-tokens", "6", *NO_END).stderr
            for pattern in (r"prefill \d+ tokens in [\d.]+ s, [\d.]+ tokens/s", r"first token after [\d.]+ s",
                            r"decode 5 tokens in [\d.]+ s, [\d.]+ tokens/s", r"cache \d+ bytes", r"peak memory \d+ MiB"):
                self.assertRegex(text, pattern)

    def test_a_saved_conversation_goes_on(self):
        options = ["--temperature", "1.2", "--seed", "5", "--max-new-tokens", "8"]
        turns = ["1 2 3", "the quick brown", "10 11"]
        whole = self.run_it("--interactive", *options, text="".join(turn + "\n" for turn in turns)).stdout
        parts = self.run_it(*options, "--prompt", turns[0], "--save", "talk").stdout
        parts += self.run_it("--load", "talk", "--prompt", turns[1], "--save", "talk").stdout
        parts += self.run_it("--load", "talk", "--prompt", turns[2]).stdout
        self.assertEqual(parts, whole)
        other = self.run_it("--load", "talk", "--prompt", turns[2], "--seed", "6", "--ids").stdout
        self.assertNotEqual(other, self.run_it("--load", "talk", "--prompt", turns[2], "--ids").stdout)

    def test_captures_and_summaries_change_no_token(self):
        plain = self.run_it("--prompt", "1 2 3", "--max-new-tokens", "9", *NO_END).stdout
        told = self.run_it("--prompt", "1 2 3", "--max-new-tokens", "9", *NO_END, "--capture", "*.mlp_residual", "--capture",
                           "model.norm", "--capture-dir", "captures", "--summary")
        self.assertTrue(told.stdout.startswith(plain), told.stdout)
        self.assertEqual(len(re.findall(r"^layer \d", told.stdout, re.MULTILINE)), 5, told.stdout)
        self.assertEqual([path.name for path in (self.folder / "captures").iterdir()], ["capture-00000.safetensors"])
        header = (self.folder / "captures" / "capture-00000.safetensors").read_bytes()
        header = header[8:8 + int.from_bytes(header[:8], "little")].decode()
        for name in ("model.layers.4.mlp_residual", "model.norm", "origin.position", "origin.token"):
            self.assertIn(f'"{name}"', header)
        self.refused("--prompt", "x", "--capture", "model.norm", words=["--capture-dir"])
        self.refused("--prompt", "x", "--capture", "nonsense", "--capture-dir", "other", words=["nonsense"])
        self.refused("--prompt", "x", "--capture", "model.norm", "--capture-dir", "captures", words=["captures"])

    def test_refusals(self):
        self.run_it("--prompt", "1 2 3", "--save", "talk")
        (self.folder / "cut").write_bytes((self.folder / "talk").read_bytes()[:-7])
        altered = bytearray((self.folder / "talk").read_bytes())
        altered[-5] ^= 1
        (self.folder / "altered").write_bytes(altered)
        self.refused("--load", "cut", "--prompt", "x", words=["cut"])
        self.refused("--load", "altered", "--prompt", "x", words=["altered", "checksum"])
        self.refused("--load", "none", "--prompt", "x", words=["none"])
        self.refused("--load", "talk", "--prompt", "x", "--system", "y", words=["--system"])
        self.refused("--prompt", "x", "--save", "no/such/folder/talk", words=["no/such/folder"])
        self.refused("--tokens", "1,2", "--save", "talk2", words=["--save"])
        self.refused("--interactive", "--prompt", "x", words=["--interactive"])
        self.refused("--interactive", "--ids", words=["--interactive"])
        self.refused("--interactive", "--engine", "reference", words=["--engine"])
        self.refused("--prompt", "x", "--engine", "reference", "--stop", "y", words=["--stop"])
        self.refused("--prompt", "x", "--stop", "", words=["--stop"])
        self.refused("--prompt", "x", "--system", "y", "--when-long", "panic", words=["--when-long"])
        self.refused("--prompt", "x", "--system", "y", "--context-limit", "3", words=["system prompt"])
        other = self.folder / "other"
        shutil.copytree(TINY, other)
        config = other / "config.json"
        config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
        result = subprocess.run([COMMAND[0], "generate", "--model", str(other), "--load", "talk", "--prompt", "x"], cwd=self.folder,
                                capture_output=True, text=True, timeout=100)
        self.assertEqual(result.returncode, 2)
        self.assertIn("another model", result.stderr)

    def test_commands_and_mistakes_of_a_conversation(self):
        lines = ["1 2 3", "/turns", "/nonsense", "/back", "/turns", "//x", "/save", "/save talk", "/help", "/quit", "never read"]
        result = self.run_it("--interactive", "--max-new-tokens", "4", text="\n".join(lines) + "\n")
        self.assertIn("user: 1 2 3\n", result.stdout)
        self.assertEqual(result.stdout.count("user: 1 2 3\n"), 1)
        self.assertIn("/nonsense: is no command", result.stderr)
        self.assertIn("/save: needs the name", result.stderr)
        self.assertIn("saved 2 turns to talk", result.stderr)
        self.assertIn("take the last turn", result.stdout)
        self.assertTrue((self.folder / "talk").exists())

    def test_an_input_that_is_no_utf8_costs_its_line_alone(self):
        result = subprocess.run(COMMAND + ["--interactive", "--max-new-tokens", "4"], input=b"\xff\xfe\n1 2 3\n",
                                capture_output=True, timeout=100)
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"not valid UTF-8", result.stderr)
        self.assertIn(b"4 tokens, stopped by", result.stderr)

    def test_a_long_conversation_forgets_its_oldest_turns(self):
        text = "1 2 3 4 5 6\n" * 8
        for way, told in (("recompute", "the rest was read again"), ("keep", "the rest keeps what attended to them")):
            result = self.run_it("--interactive", "--context-limit", "110", "--when-long", way, "--max-new-tokens", "8", text=text)
            self.assertIn(told, result.stderr)
        refusing = self.run_it("--interactive", "--context-limit", "110", "--when-long", "refuse", "--max-new-tokens", "8", text=text)
        self.assertIn("no room", refusing.stderr)

    def test_text_streams_in_whole_characters(self):
        command = COMMAND + ["--prompt", "1 2 3", "--temperature", "3", "--seed", "3", "--max-new-tokens", "300", *NO_END]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        pieces = []
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            pieces.append(piece)
        process.stdout.close()
        self.assertEqual(process.wait(), 0)
        self.assertGreater(len(pieces), 5)
        for piece in pieces:
            piece.decode()  # each by itself
        self.assertTrue(any(max(piece) > 127 for piece in pieces))

    def test_in_a_terminal_control_c_ends_an_answer_and_then_the_conversation(self):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execv(COMMAND[0], COMMAND + ["--interactive", "--max-new-tokens", "20000", *NO_END, "--save", "talk"])
        seen = b""

        def wait_for(pattern, since):
            nonlocal seen
            end = time.monotonic() + 60
            while not re.search(pattern, seen[since:]):
                self.assertLess(time.monotonic(), end, seen[-2000:])
                if select.select([terminal], [], [], 1)[0]:
                    seen += os.read(terminal, 1 << 16)
            return len(seen)

        try:
            at = wait_for(rb"> $", 0)
            os.write(terminal, b"1 2 3\n")
            wait_for(rb"\d \d", at + 10)
            os.write(terminal, b"\x03")
            at = wait_for(rb"stopped by interrupted[^\n]*\r\n> $", at)
            os.write(terminal, b"/turns\n")
            at = wait_for(rb"assistant: [^\n]*\r?\n(.*\r\n)*> $", at)
            os.write(terminal, b"\x03")
            end = time.monotonic() + 60
            ended, status = os.waitpid(child, os.WNOHANG)
            while ended == 0:
                self.assertLess(time.monotonic(), end, "it did not end")
                time.sleep(0.02)
                ended, status = os.waitpid(child, os.WNOHANG)
        finally:
            os.close(terminal)  # which ends the child, if nothing else did
        self.assertEqual(os.waitstatus_to_exitcode(status), 130)
        self.assertTrue((self.folder / "talk").exists())

    def test_an_interrupted_prompt_keeps_what_it_wrote(self):
        process = subprocess.Popen(COMMAND + ["--prompt", "1 2 3", "--max-new-tokens", "20000", *NO_END], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        begun = os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        rest, problems = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertTrue((begun + rest).endswith(b"\n"))
        self.assertIn(b"stopped by interrupted", problems)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
