"""llama.cpp, captured and judged: clean where it is right, blamed where a mistake was made in the conversion.

Usage: capture_llamacpp_test.py BUILD_DIR SOURCE_DIR [PROMPTS]

PROMPTS prompts, golden and random, are judged for false alarms. Exit status 77 (skipped) where neither this python nor the
project's .venv has llama_cpp and gguf; capture_llamacpp_parts_test.py tests what needs neither.
"""
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import unittest

from capture_llamacpp_case import NEEDED, REFUSED, TINY, ZOO, ToolCase
from other_python import start_again_with

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
PROMPTS = int(sys.argv[3]) if len(sys.argv) > 3 else 12
PAGE = SOURCE / "docs/judge-your-engine.md"

if not start_again_with(NEEDED, [SOURCE / ".venv"]):
    print(f"skipped: no python here has {', '.join(NEEDED)}")
    sys.exit(77)
import llama_cpp  # noqa: E402
import numpy as np  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from capture.checkpoint import read_config  # noqa: E402
from capture.gguf_config import parameters  # noqa: E402
from capture.gguf_file import convert  # noqa: E402
from capture.llamacpp import Llama, new_trace  # noqa: E402
from capture.trace import hash_of  # noqa: E402
from capture_llamacpp_mistakes import MISTAKES  # noqa: E402


def prompts_of(count):
    """Golden prompts, then random ones."""
    golden = [prompt["input_ids"] for prompt in json.loads((SOURCE / "fixtures/goldens/tiny/prompts.json").read_text())["prompts"]]
    generator = random.Random(9)
    return golden[:count // 2] + [[generator.randrange(1000) for _ in range(generator.randrange(2, 40))]
                                  for _ in range(count - min(count // 2, len(golden)))]


class Judged(ToolCase):
    SKIPPED = re.compile(r"^\| (?:seq\.\d+/)?(?:step\.\d+/)?(\S+) .*\| skipped", re.MULTILINE)
    UNSEEN = {"input_ids", "model.rotary_emb.inv_freq", "model.rotary_emb.cos", "model.rotary_emb.sin"}

    def capture(self, model, sequences, steps, **how):
        """Saves the trace of sequences of ids, and returns it."""
        config, path = read_config(model), self.folder / "model.gguf"
        convert(model, config, path, "")
        trace = new_trace(hash_of(model))
        values = parameters(config, model)
        betas = tuple(values.get(f"rope.scaling.yarn_beta_{which}", -1.0) for which in ("fast", "slow"))
        with Llama(path) as llama:
            llama.record(trace, sequences, steps, how.get("threads", 1), how.get("piece", 0), betas)
        trace.save(self.file)
        return trace

    def judge(self, model=TINY):
        return subprocess.run([BUILD / "plumbline", "judge", self.file, "--model", model, "--report-dir", self.folder],
                              capture_output=True, text=True, timeout=300)

    def assert_clean(self, model=TINY):
        """Exit status 0, and nothing skipped but what llama.cpp does not show."""
        judged = self.judge(model)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)
        report = (self.folder / "judge.md").read_text(encoding="utf-8")
        skipped = {re.sub(r"model\.layers\.\d+\.", "", name) for name in self.SKIPPED.findall(report)}
        self.assertLessEqual(skipped, self.UNSEEN)
        return judged.stdout.splitlines()[0]


class Clean(Judged):
    def test_prefill_and_decode(self):
        prompts = prompts_of(PROMPTS)
        trace = self.capture(TINY, prompts, 3)
        self.assertEqual(sum(name.endswith("/lm_head") for name in trace.tensors), 3 * len(prompts))
        for number, tokens in enumerate(prompts):
            self.assertEqual(trace.tensors[f"seq.{number}/step.0/input_ids"].tolist(), tokens)
            self.assertEqual(len(trace.tensors[f"seq.{number}/step.2/past_key_values.4.value"]), len(tokens) + 2)
        print(f"tiny: {len(prompts)} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens: {self.assert_clean()}")

    def test_each_model_of_the_zoo_that_it_can_run(self):
        runs = [folder for folder in sorted(ZOO.iterdir()) if folder.name not in REFUSED]
        self.assertEqual(len(runs), 10)
        for folder in runs:
            with self.subTest(folder.name):
                self.capture(folder, [list(range(1, 18)), [9]], 4)
                print(f"{folder.name}: {self.assert_clean(folder)}")

    def test_pieces_and_threads_change_no_probe_but_by_rounding(self):
        tokens = prompts_of(1)[-1] * 3
        whole = self.capture(TINY, [tokens], 2).tensors
        for how in ({"piece": 16}, {"piece": 1}, {"threads": 3}):
            with self.subTest(**how):
                parts = self.capture(TINY, [tokens], 2, **how).tensors
                self.assert_clean()
                self.assertEqual(parts.keys(), whole.keys())
                for name, array in whole.items():
                    self.assertEqual((array.shape, array.dtype), (parts[name].shape, parts[name].dtype), name)
                    if array.dtype == np.float32 and ".scores" not in name:  # scores of forbidden keys are not defined
                        np.testing.assert_allclose(parts[name], array, rtol=0, atol=1e-3, err_msg=name)
                    elif array.dtype != np.float32:
                        np.testing.assert_array_equal(parts[name], array, name)

    def test_recording_changes_no_bit(self):
        tokens = prompts_of(1)[-1]
        seen = self.capture(TINY, [tokens], 1).tensors["seq.0/step.0/lm_head"]
        plain = llama_cpp.Llama(str(self.folder / "model.gguf"), n_ctx=len(tokens) + 1, n_batch=len(tokens), n_ubatch=len(tokens), n_threads=1,
                                n_threads_batch=1, logits_all=True, flash_attn=False, type_k=0, type_v=0, verbose=False)
        plain.eval(tokens)
        np.testing.assert_array_equal(np.array(plain.scores[:len(tokens)]), seen)
        plain.close()

    def test_angles_far_into_a_text(self):
        """ROPE multiplies each position by the same factor again and again: angles of its own, within the bound of an own table."""
        generator = random.Random(9)
        tokens = [generator.randrange(1000) for _ in range(400)]
        found = self.capture(TINY, [tokens], 1, threads=2).tensors
        print(f"400 tokens: {self.assert_clean()}")

        positions, heads, half = np.arange(400, dtype=np.float32), 6, 10
        factor = np.float32(np.float32(1e6) ** np.float32(-1 / half))
        made = np.cumprod(np.stack([positions, *[np.full(400, factor)] * (half - 1)]), axis=0, dtype=np.float32).T
        right = positions[:, None] * (1e6 ** (-np.arange(half) / half)).astype(np.float32)
        for layer in (0, 4):
            x = found[f"seq.0/step.0/model.layers.{layer}.self_attn.q_proj"].reshape(400, heads, 2, half).astype(np.float64)
            rotated = found[f"seq.0/step.0/model.layers.{layer}.self_attn.q_rope"].reshape(400, heads, 2, half)
            far = []
            for angles in (made, right):
                cos, sin = np.cos(angles.astype(np.float64))[:, None], np.sin(angles.astype(np.float64))[:, None]
                first, second = x[:, :, 0], x[:, :, 1]
                far.append(np.abs(np.stack([first * cos - second * sin, second * cos + first * sin], 2) - rotated).max())
            print(f"layer {layer}: q_rope is {far[0]:.1e} from f64 by llama.cpp's angles, {far[1]:.1e} by the right ones")
            self.assertLess(far[0], 1.5e-6)
            self.assertGreater(far[1], 5 * far[0])


class Blamed(Judged):
    """llama.cpp is right, and what it was given is not the checkpoint."""

    def test_mistakes(self):
        blamed = 0
        for mistake in MISTAKES:
            with self.subTest(mistake.name):
                model = SOURCE / "fixtures/models" / mistake.model
                with mistake.planted:
                    self.capture(model, [list(range(60, 80))], 2)
                judged = self.judge(model)
                self.assertEqual(judged.returncode, 1, judged.stdout + judged.stderr)
                self.assertIn(f"first wrong op: seq.0/step.0/{mistake.op},", judged.stdout)
                self.assertIn(f"*{mistake.says}*" if mistake.says else "no known mistake fits", judged.stdout)
                blamed += 1
        print(f"{blamed} of {len(MISTAKES)} mistakes blamed on the right op")


class Command(Judged):
    def test_prompts_have_the_tokens_of_the_checkpoint(self):
        golden = json.loads((SOURCE / "fixtures/goldens/tiny/prompts.json").read_text())["prompts"]
        prompts = self.folder / "prompts.txt"
        golden = [prompt for prompt in golden if "\n" not in prompt["text"]]
        prompts.write_text("".join(prompt["text"] + "\n" for prompt in golden), encoding="utf-8")
        self.assertEqual(self.tool("--model", TINY, "--prompts", prompts, "--steps", "2", "-o", self.file), (0, ""))
        found = load_file(self.file)
        for number, prompt in enumerate(golden):
            self.assertEqual(found[f"seq.{number}/step.0/input_ids"].tolist(), prompt["input_ids"], prompt["name"])
        self.assert_clean()

    def test_a_kept_conversion(self):
        kept = self.folder / "tiny.gguf"
        options = ["--tokens", "1,2,3", "--gguf", kept, "-o", self.file]
        self.assertEqual(self.tool("--model", TINY, *options), (0, ""))
        made = kept.stat().st_mtime_ns
        self.file.unlink()
        self.assertEqual(self.tool("--model", TINY, *options), (0, ""))
        self.assertEqual(kept.stat().st_mtime_ns, made)
        self.assert_clean()
        self.file.unlink()
        self.assert_refused([("another checkpoint", "--model", ZOO / "gqa", *options)])
        kept.write_bytes(kept.read_bytes()[:5000])
        self.assert_refused([("tiny.gguf", "--model", TINY, *options)])

    def test_bad_input_is_one_line(self):
        no_weights, torn = self.folder / "no_weights", self.folder / "torn"
        for folder in (no_weights, torn):
            folder.mkdir()
            (folder / "config.json").write_bytes((TINY / "config.json").read_bytes())
        (torn / "model.safetensors").write_bytes((TINY / "model.safetensors").read_bytes()[:5000])
        ids = ["--tokens", "1,2"]
        self.assert_refused([
            ("no_weights", "--model", no_weights, *ids), ("torn", "--model", torn, *ids), ("5000", "--model", TINY, "--tokens", "1,5000"),
            ("no tokens", "--model", TINY, "--prompt", ""), ("cannot be written", "--model", TINY, *ids, "-o", self.folder),
            ("cannot be written", "--model", TINY, *ids, "--gguf", self.folder / "none" / "x.gguf")])


class Page(Judged):
    """What docs/judge-your-engine.md shows, by its own commands."""

    def test_the_commands_and_the_sentence(self):
        section = PAGE.read_text(encoding="utf-8").partition("## llama.cpp\n")[2].partition("\n## ")[0]
        (self.folder / "fixtures").symlink_to(SOURCE / "fixtures")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        said = []
        for line in re.findall(r"^    (llama/bin/(?!pip).*|build/.*)", section, re.MULTILINE):
            program, *options = shlex.split(line)
            if program == "llama/bin/python":
                self.assertEqual(self.tool(*options[1:]), (0, ""), line)
            elif program == "build/plumbline":
                said.append(subprocess.run([BUILD / "plumbline", *options], capture_output=True, text=True, timeout=120).stdout)
            else:
                subprocess.run([pathlib.Path(sys.executable).with_name(program.rpartition("/")[2]), *options], check=True, capture_output=True)
        right, wrong = (load_file(self.folder / f"{name}.safetensors") for name in ("right", "wrong"))
        for step in (0, 1):
            logits, moved = (found[f"seq.0/step.{step}/lm_head"] for found in (right, wrong))
            self.assertLess(np.abs(logits - moved).max(), 0.0101)
            self.assertEqual(logits.argmax(1).tolist(), moved.argmax(1).tolist())
        figures = re.compile(r"\d\S*e[+-]\d+")  # other machines round in other ways
        told = next(line.strip() for line in section.splitlines() if "first wrong op" in line)
        self.assertEqual([said[0].strip(), figures.sub("#", said[1].splitlines()[0])],
                         [re.search(r"^prints `(.*?)`", section, re.MULTILINE)[1], figures.sub("#", told)])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
