"""Hugging Face's Qwen2, captured and judged: clean where it is right, blamed where a mistake was patched in.

Usage: capture_hf_test.py BUILD_DIR SOURCE_DIR [TORCH_DIR [PROMPTS]]

PROMPTS prompts, golden and random, are judged for false alarms, twice; with more than 8, all mistakes are planted twice too.
Exit status 77 (skipped) where no python has transformers: tried are this one, the project's .venv, and the one that
TORCH_DIR (the folder of TorchConfig.cmake) belongs to.
"""
import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TORCH = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else pathlib.Path()
PROMPTS = int(sys.argv[4]) if len(sys.argv) > 4 else 8
NEEDED = ("torch", "transformers", "safetensors")
TINY, ZOO = SOURCE / "fixtures/models/tiny", SOURCE / "fixtures/models/zoo"
TOOL, PAGE = SOURCE / "tools/capture_hf.py", SOURCE / "docs/judge-your-engine.md"
SKIPPED = re.compile(r"^\| (?:seq\.\d+/)?(?:step\.\d+/)?(\S+) .*\| skipped", re.MULTILINE)
UNSEEN = {"eager": {"input_ids"}, "sdpa": {"input_ids", "self_attn.scores", "self_attn.probs"}}


sys.path[:0] = [str(SOURCE / "tools"), str(SOURCE / "tests/tools")]
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
from other_python import start_again_with  # noqa: E402

if not start_again_with(NEEDED, [SOURCE / ".venv", *TORCH.resolve().parents]):
    print(f"skipped: no python here has {', '.join(NEEDED)}")
    sys.exit(77)
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from transformers import DynamicCache, StaticCache  # noqa: E402
from transformers.models.qwen2 import modeling_qwen2  # noqa: E402

import capture_hf  # noqa: E402
from capture import CaptureError, capture, weight_hash  # noqa: E402
from capture.run import greedy, load_model  # noqa: E402
from capture_hf_mistakes import HALF_MISTAKES, HIDDEN_IN_BF16, MISTAKES  # noqa: E402

torch.set_num_threads(1)  # small products: threads would only wait for each other


def golden_prompts():
    return [prompt["input_ids"] for prompt in json.loads((SOURCE / "fixtures/goldens/tiny/prompts.json").read_text())["prompts"]]


def random_prompts(count):
    generator = torch.Generator().manual_seed(9)
    lengths = torch.randint(2, 40, (count,), generator=generator).tolist()
    return [torch.randint(0, 1000, (length,), generator=generator).tolist() for length in lengths]


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="plumbline-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.file = self.folder / "trace.safetensors"

    def judge(self, model=TINY):
        return subprocess.run([BUILD / "plumbline", "judge", self.file, "--model", model, "--report-dir", self.folder],
                              capture_output=True, text=True, timeout=120)

    def assert_clean(self, trace, unseen, model=TINY):
        """Exit status 0, and nothing skipped but what the engine does not show."""
        trace.save(self.file)
        judged = self.judge(model)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)
        skipped = {re.sub(r"model\.layers\.\d+\.", "", name) for name in SKIPPED.findall((self.folder / "judge.md").read_text())}
        self.assertLessEqual(skipped, unseen)


class Clean(Case):
    def test_prefill_and_decode(self):
        for attention in ("eager", "sdpa"):
            with self.subTest(attention):
                model = load_model(TINY, "f32", attention, "cpu")
                prompts = golden_prompts()[:PROMPTS // 2]
                prompts += random_prompts(PROMPTS - len(prompts))
                with capture(model) as trace:
                    for tokens in prompts:
                        greedy(model, [tokens], 3)
                self.assertEqual(sum(name.endswith("/lm_head") for name in trace.tensors), 3 * len(prompts))
                self.assert_clean(trace, UNSEEN[attention])
                with safe_open(self.file, "pt") as file:
                    self.assertRegex(file.metadata()["engine"], rf"^transformers \d[\w.]* {attention}$")
                print(f"{attention}: {len(prompts)} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens, "
                      f"{len(trace.tensors)} tensors: clean")

    def test_pads_are_cut_off(self):
        prompts = random_prompts(4)
        for attention in ("eager", "sdpa"):
            for pad in ("left", "right"):
                with self.subTest(attention, pad=pad):
                    model = load_model(TINY, "f32", attention, "cpu")
                    with capture(model) as trace:
                        greedy(model, prompts, 3, pad)
                    for sequence, tokens in enumerate(prompts):
                        self.assertEqual(trace.tensors[f"seq.{sequence}/step.0/input_ids"].tolist(), tokens)
                        key = trace.tensors[f"seq.{sequence}/step.2/past_key_values.0.key"]
                        self.assertEqual(list(key.shape), [len(tokens) + 2, 2, 20])
                    self.assert_clean(trace, UNSEEN[attention])

    def test_other_caches(self):
        """One that slides, one with free slots, one filled before the capture, and a call without any."""
        slides = load_model(ZOO / "window-4x", "f32", "eager", "cpu")
        plain = load_model(TINY, "f32", "eager", "cpu")
        ids = torch.arange(60, 72)[None]
        with torch.no_grad(), capture(slides) as trace:
            slides.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
            greedy(slides, [[3, 4, 5], ids[0].tolist()], 3, "left")
        self.assert_clean(trace, UNSEEN["eager"], ZOO / "window-4x")

        for attention in ("eager", "sdpa"):
            with self.subTest(attention), torch.no_grad():
                model = load_model(TINY, "f32", attention, "cpu")
                cache = StaticCache(config=model.config, max_cache_len=32)
                with capture(model) as trace:
                    model(ids, past_key_values=cache)
                    model(ids[:, :1], past_key_values=cache)
                self.assertEqual(len(trace.tensors["seq.0/step.1/past_key_values.3.value"]), 13)
                self.assert_clean(trace, UNSEEN[attention])

        with torch.no_grad():
            cache = DynamicCache()
            plain(ids, past_key_values=cache)
            with capture(plain) as trace:
                plain(ids[:, :5], past_key_values=cache, logits_to_keep=1)
                plain(ids, use_cache=False)
        self.assertEqual(len(trace.tensors["seq.0/initial/past_key_values.0.key"]), 12)
        self.assertEqual(len(trace.tensors["seq.0/step.0/lm_head"]), 1)
        self.assertIn("seq.1/step.0/lm_head", trace.tensors)
        self.assert_clean(trace, UNSEEN["eager"])

    def test_recording_changes_no_bit_and_leaves_nothing_behind(self):
        ids = torch.arange(5, 50)[None]
        names = ("apply_rotary_pos_emb", "ALL_ATTENTION_FUNCTIONS", "eager_attention_forward")
        functions = [getattr(modeling_qwen2, name) for name in names]
        for attention in ("eager", "sdpa"):
            model = load_model(TINY, "f32", attention, "cpu")
            with torch.no_grad():
                before = model(ids).logits
                with capture(model) as trace:
                    during = model(ids).logits
                count = len(trace.tensors)
                after = model(ids).logits
            self.assertTrue(torch.equal(before, during) and torch.equal(before, after))
            self.assertEqual(len(trace.tensors), count)
            self.assertTrue(all(getattr(modeling_qwen2, name) is was for name, was in zip(names, functions)))
            self.assertFalse(any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()))

    def test_other_dtypes_are_recorded_as_they_are(self):
        for dtype, stored in (("f64", torch.float64), ("bf16", torch.bfloat16), ("f16", torch.float16)):
            model = load_model(TINY, dtype, "eager", "cpu")
            with capture(model) as trace:
                greedy(model, [[1, 2, 3]], 2)
            integers = {"input_ids": torch.int64, "position_ids": torch.int64, "attention_mask": torch.bool,
                        "model.rotary_emb.inv_freq": torch.float32}
            for name, tensor in trace.tensors.items():
                self.assertEqual(tensor.dtype, integers.get(name.split("/")[-1], stored), name)
            self.assertEqual(trace.metadata["storage_dtype"], dtype)

    def test_half_types_and_f64(self):
        prompts = golden_prompts()[:PROMPTS // 2]
        prompts += random_prompts(PROMPTS - len(prompts))
        for dtype in ("bf16", "f16", "f64"):
            for attention in ("eager", "sdpa"):
                with self.subTest(dtype, attention=attention):
                    model = load_model(TINY, dtype, attention, "cpu")
                    with capture(model) as trace:
                        for tokens in prompts:
                            greedy(model, [tokens], 3)
                        if dtype != "f64":  # there a row of pads is NaN: the mask, finfo.min of f64, is -inf to the f32 softmax
                            greedy(model, prompts[:3], 2, "left")
                    self.assert_clean(trace, UNSEEN[attention])
                    scores = "f32" if attention == "sdpa" and dtype != "f64" else dtype
                    said = {key: trace.metadata[key] for key in ("rotary_dtype", "scores_dtype", "probs_dtype", "rounding")}
                    self.assertEqual(said, {"rotary_dtype": dtype, "scores_dtype": scores, "probs_dtype": dtype,
                                            "rounding": "each"})
                    print(f"{dtype}, {attention}: {len(prompts)} prompts: clean")

    def test_weight_hash(self):
        goldens = json.loads((SOURCE / "fixtures/goldens/tiny/prompts.json").read_text())
        self.assertEqual(weight_hash(TINY), goldens["weight_hash"])
        model = load_model(ZOO / "sharded", "f32", "sdpa", "cpu")
        with capture(model) as trace:
            greedy(model, [[1, 2, 3, 4]], 1)
        self.assert_clean(trace, UNSEEN["sdpa"], ZOO / "sharded")
        other = self.judge(TINY)
        self.assertEqual((other.returncode, "weights" in other.stderr), (2, True), other.stdout + other.stderr)


class Blamed(Case):
    def test_mistakes(self):
        tokens = random_prompts(3)[-1]
        blamed, planted = 0, 0
        for attention in ("eager", "sdpa"):
            model = load_model(TINY, "f32", attention, "cpu")
            for mistake in MISTAKES:
                if attention == "sdpa" and PROMPTS <= 8 and not mistake.of_attention:
                    continue  # the same code as with eager attention
                planted += 1
                with self.subTest(mistake.name, attention=attention):
                    with mistake.plant(model), capture(model) as trace:
                        greedy(model, [tokens], 2)
                    trace.save(self.file)
                    judged = self.judge()
                    op = mistake.fused if attention == "sdpa" and mistake.fused else mistake.op
                    self.assertEqual(judged.returncode, 1, judged.stdout + judged.stderr)
                    self.assertIn(f"first wrong op: {op},", judged.stdout)
                    self.assertIn(f"*{mistake.says}*" if mistake.says else "no known mistake fits", judged.stdout)
                    blamed += 1
            with capture(model) as trace:  # all mistakes are gone
                greedy(model, [tokens], 2)
            self.assert_clean(trace, UNSEEN[attention])
        print(f"{blamed} of {planted} mistakes blamed on the right op and rightly explained")


    def test_mistakes_in_bf16(self):
        tokens = random_prompts(3)[-1]
        model = load_model(TINY, "bf16", "eager", "cpu")
        seen = [mistake for mistake in MISTAKES if mistake.name not in HIDDEN_IN_BF16]
        planted = seen[::1 if PROMPTS > 8 else 3] + HALF_MISTAKES
        for mistake in planted:
            with self.subTest(mistake.name):
                with mistake.plant(model), capture(model) as trace:
                    greedy(model, [tokens], 2)
                trace.save(self.file)
                judged = self.judge()
                self.assertEqual(judged.returncode, 1, judged.stdout + judged.stderr)
                self.assertIn(f"first wrong op: {mistake.op},", judged.stdout)
                self.assertIn(f"*{mistake.says}*" if mistake.says else "no known mistake fits", judged.stdout)
        print(f"{len(planted)} mistakes in bf16 blamed on the right op")


class Command(Case):
    def test_prompts_of_a_file_in_one_padded_batch(self):
        prompts = self.folder / "prompts.txt"
        prompts.write_text("Hello\nThe quick brown fox\n")
        options = ["--model", TINY, "--prompts", prompts, "--pad", "right", "--steps", "2", "-o", self.file]
        ran = subprocess.run([sys.executable, TOOL, *options], capture_output=True, text=True, timeout=120)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        judged = self.judge()
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def refusal(self, *options):
        """Status and standard error of the tool, run in this process: transformers takes seconds to load."""
        told = io.StringIO()
        with mock.patch.object(sys, "argv", [str(TOOL), *map(str, options)]), contextlib.redirect_stderr(told):
            with self.assertRaises(SystemExit) as stopped:
                capture_hf.main()
        return stopped.exception.code, told.getvalue()

    def test_bad_input_is_one_line(self):
        no_weights, torn, latin = self.folder / "no_weights", self.folder / "torn", self.folder / "latin.txt"
        for folder in (no_weights, torn):
            folder.mkdir()
            (folder / "config.json").write_bytes((TINY / "config.json").read_bytes())
        (torn / "model.safetensors").write_bytes((TINY / "model.safetensors").read_bytes()[:5000])
        latin.write_bytes(b"caf\xe9")
        ids = ["--tokens", "1,2"]
        for says, *options in (
                ("one of the arguments", "--model", TINY), ("config.json", "--model", self.folder, *ids),
                ("no_weights", "--model", no_weights, *ids), ("torn", "--model", torn, *ids),
                ("tokenizer", "--model", ZOO / "gqa", "--prompt", "x"), ("commas", "--model", TINY, "--tokens", "1,x"),
                ("5000", "--model", TINY, "--tokens", "1,5000"), ("latin.txt", "--model", TINY, "--prompts", latin),
                ("--steps", "--model", TINY, *ids, "--steps", "0"), ("float", "--model", TINY, *ids, "--dtype", "float"),
                ("no such folder", "--model", TINY, *ids, "-o", self.folder / "none" / "t.safetensors"),
                ("cannot be written", "--model", TINY, *ids, "-o", self.folder)):
            with self.subTest(says):
                status, told = self.refusal("-o", self.file, *options)
                self.assertEqual((status, told.count("\n"), told.startswith("error: ")), (2, 1, True), told)
                self.assertIn(says, told)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["latin.txt", "no_weights", "torn"])

    def test_not_a_qwen2(self):
        with self.assertRaisesRegex(CaptureError, "no Qwen2"):
            capture(torch.nn.Linear(2, 2))
        with self.assertRaisesRegex(CaptureError, "nothing was captured"):
            with capture(load_model(TINY, "f32", "eager", "cpu")) as trace:
                pass
            trace.save(self.file)


class Page(Case):
    """What docs/judge-your-engine.md shows, run in the project's root as it says."""

    def run_block(self, says, file):
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        block = next(block for block in blocks if says in block)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(SOURCE)
        exec(block.replace(f'"{file}"', repr(str(self.file))), {})
        return self.judge()

    def test_any_python(self):
        judged = self.run_block("def write_trace", "mine.safetensors")
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_the_bug_and_its_sentence(self):
        with mock.patch.object(modeling_qwen2, "repeat_kv"):
            judged = self.run_block("The bug", "wrong.safetensors")
        told = next(line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if "first wrong op" in line)
        said = judged.stdout.splitlines()[0]
        figures = re.compile(r"\d\S*e[+-]\d+")  # other machines round in other ways
        self.assertEqual((judged.returncode, figures.sub("#", said)), (1, figures.sub("#", told)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
