"""Bad input, as a user would give it: each row is a command, the words its one line must hold, and exit status 2.

Usage: bad_input_test.py BUILD_DIR SOURCE_DIR
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = SOURCE / "fixtures" / "models" / "tiny"
COMMAND = [str(BUILD / "plumbline")]
PHASES = [str(BUILD / "plumbline-phases")]


def run(command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def safetensors_header(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class BadInput(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))
        self.model = self.folder / "model"
        shutil.copytree(TINY, self.model)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def refused(self, command, *words):
        before = sorted(path for path in self.folder.rglob("*"))
        result = run(command, self.folder)
        self.assertEqual(result.returncode, 2, (command, result.stdout, result.stderr))
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(before, sorted(path for path in self.folder.rglob("*")), "something was left behind")

    def refused_model(self, *words):
        """Both commands refuse the checkpoint in self.model."""
        self.refused(COMMAND + ["generate", "--model", str(self.model), "--prompt", "Hello"], *words)
        self.refused(COMMAND + ["trace", "--model", str(self.model), "--tokens", "1", "--engine", "reference", "-o", "t"],
                     *words)
        self.refused(PHASES + ["--phase", "1", "--model", str(self.model), "--report-dir", str(self.folder / "r")], *words)

    def edit_config(self, **fields):
        path = self.model / "config.json"
        config = json.loads(path.read_text())
        config.update(fields)
        path.write_text(json.dumps(config))

    def test_no_such_directory(self):
        shutil.rmtree(self.model)
        self.refused_model("model")

    def test_no_config(self):
        (self.model / "config.json").unlink()
        self.refused_model("config.json")

    def test_broken_config(self):
        (self.model / "config.json").write_text('{"model_type": "qwen2", ')
        self.refused_model("config.json")

    def test_config_of_another_architecture(self):
        self.edit_config(model_type="llama", architectures=["LlamaForCausalLM"])
        self.refused_model("config.json", "llama")

    def test_config_with_an_impossible_value(self):
        self.edit_config(num_attention_heads=7)
        self.refused_model("config.json")

    def test_truncated_weights(self):
        path = self.model / "model.safetensors"
        os.truncate(path, path.stat().st_size - 5)
        self.refused_model("model.safetensors")

    def test_impossible_header(self):
        path = self.model / "model.safetensors"
        path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])
        self.refused_model("model.safetensors")

    def test_missing_tensor(self):
        path = self.model / "model.safetensors"
        header, data = safetensors_header(path)
        header["model.layers.2.mlp.typo_proj.weight"] = header.pop("model.layers.2.mlp.up_proj.weight")
        write_safetensors(path, header, data)
        self.refused_model("model.layers.2.mlp")

    def test_wrong_shape(self):
        path = self.model / "model.safetensors"
        header, data = safetensors_header(path)
        entry = header["model.layers.1.self_attn.k_proj.weight"]
        entry["shape"] = entry["shape"][::-1]
        write_safetensors(path, header, data)
        self.refused_model("model.layers.1.self_attn.k_proj.weight")

    def test_unknown_phase_case_engine_and_option(self):
        reports = ["--report-dir", str(self.folder / "r")]
        self.refused(PHASES + ["--phase", "6"] + reports, "6")
        self.refused(PHASES + ["--case", "3.9"] + reports, "3.9")
        self.refused(PHASES + ["--engine", "tpu"] + reports, "tpu")
        self.refused(PHASES + ["--dtype", "f8"] + reports, "f8")
        self.refused(PHASES + ["--no-such-option"] + reports, "--no-such-option")
        self.refused(COMMAND + ["generate", "--model", str(TINY), "--prompt", "x", "--engine", "tpu"], "tpu")
        self.refused(COMMAND + ["no-such-verb"], "no-such-verb")

    def test_tolerances(self):
        trace = self.folder / "t.safetensors"
        made = run(COMMAND + ["trace", "--model", str(TINY), "--prompt", "Hello", "-o", str(trace)], self.folder)
        self.assertEqual(made.returncode, 0, made.stderr)
        text = (SOURCE / "fixtures" / "tolerances.yaml").read_text()
        rows = text.split("  - op: ")
        lacking = "  - op: ".join(row for row in rows if not row.startswith("rope"))
        for name, broken, word in [("broken.yaml", "ops: [", "broken.yaml"), ("lacking.yaml", lacking, "rope"),
                                   ("wrong.yaml", text.replace("lambda: 2.5", "lambda: wide", 1), "lambda")]:
            path = self.folder / name
            path.write_text(broken)
            self.refused(COMMAND + ["judge", str(trace), "--model", str(TINY), "--tolerances", str(path)], name, word)
        self.refused(COMMAND + ["judge", str(trace), "--model", str(TINY), "--tolerances", "none.yaml"], "none.yaml")

    def test_reports_directory_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        self.refused(PHASES + ["--phase", "1", "--model", str(TINY), "--report-dir", str(self.folder / "file" / "reports")], "file")

    def test_traces(self):
        (self.folder / "t.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
        self.refused(COMMAND + ["judge", "t.safetensors", "--model", str(TINY)], "t.safetensors")
        self.refused(COMMAND + ["compare", "t.safetensors", "t.safetensors"], "t.safetensors")
        self.refused(COMMAND + ["compare", "none.safetensors", "t.safetensors"], "none.safetensors")

    def test_prompts(self):
        generate = COMMAND + ["generate", "--model", str(TINY)]
        self.refused(generate, "--prompt")
        self.refused(generate + ["--prompt", "", "--engine", "reference"], "prompt")
        self.refused(generate + ["--tokens", "1,x"], "--tokens")
        self.refused(generate + ["--tokens", "1024"], "1024")
        self.refused(generate + ["--tokens", "-1"], "-1")
        self.refused(generate + ["--prompt", "x", "--temperature", "-1"], "temperature")
        self.refused(generate + ["--prompt", "x", "--top-p", "1.5"], "top_p")
        self.refused(generate + ["--prompt", "x", "--max-new-tokens", "0"], "--max-new-tokens")
        self.refused(generate + ["--prompt", "x", "--isa", "sse9"], "sse9")

    def test_token_ids_and_context_of_both_engines(self):
        self.edit_config(max_position_embeddings=4)
        for engine in ("cpu", "reference"):
            for verb in (["generate"], ["trace", "-o", "t"], ["trace", "-o", "t", "--steps", "3"]):
                command = COMMAND + verb + ["--model", str(self.model), "--engine", engine, "--tokens"]
                self.refused(command + ["1024"], "1024", "vocabulary")
                self.refused(command + ["-1"], "-1", "vocabulary")
                self.refused(command + ["99999999999"], "--tokens")
                self.refused(command + ["1,,2"], "--tokens")
                self.refused(command + ["1,1,1,1,1"], "prompt", "5 tokens", "context 4", "max_position_embeddings")

    def test_devices(self):
        for verb in (["generate"], ["trace", "-o", "t"]):
            command = COMMAND + verb + ["--model", str(TINY), "--tokens", "1,2"]
            self.refused(command + ["--engine", "reference", "--device", "tpu"], "--device", "cpu or cuda")
            for engine in ("cpu", "cuda"):
                self.refused(command + ["--engine", engine, "--device", "cuda"], "--device", "--engine cuda")
            # LibTorch's own GPU: none in its build, none in the machine, or hidden.
            self.refused(["env", "CUDA_VISIBLE_DEVICES="] + command + ["--engine", "reference", "--device", "cuda"],
                         "LibTorch", "CUDA")

    def test_numbers_out_of_range(self):
        for engine in ("cpu", "reference"):
            generate = COMMAND + ["generate", "--model", str(TINY), "--prompt", "x", "--engine", engine]
            for option, values in {"--threads": ["-1", "1025", "x", "99999999999999999999"],
                                   "--max-new-tokens": ["0", "-1", "1.5", "x", "99999999999999999999"],
                                   "--seed": ["-1", "x"], "--top-k": ["-1", "x"], "--top-p": ["nan", "-0.5"],
                                   "--temperature": ["nan", "inf", "-1"], "--min-p": ["2"],
                                   "--repetition-penalty": ["0", "nan"]}.items():
                for value in values:
                    self.refused(generate + [option, value], option.strip("-").replace("-", "_") if value in ("nan", "inf")
                                 else option.strip("-").split("-")[0])
            trace = COMMAND + ["trace", "--model", str(TINY), "--prompt", "x", "--engine", engine, "-o", "t"]
            for value in ("0", "-1", "x", "99999999999999999999"):
                self.refused(trace + ["--steps", value], "--steps")

    def test_the_most_new_tokens_take_no_memory(self):
        for engine in ("cpu", "reference"):
            result = run(COMMAND + ["generate", "--model", str(TINY), "--prompt", "1 2 3", "--engine", engine, "--ids", "--cache",
                                    "concat", "--max-new-tokens", "2147483647"], self.folder)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_nothing_judged_is_not_success(self):
        header, data = safetensors_header(TINY / "model.safetensors")
        path = self.folder / "t.safetensors"
        write_safetensors(path, {"model.norm": {"dtype": "F32", "shape": [1, 120], "data_offsets": [0, 480]}}, data[:480])
        result = run(COMMAND + ["judge", str(path), "--model", str(TINY)], self.folder)
        self.assertEqual(result.returncode, 3, (result.stdout, result.stderr))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
