"""A layer at a time, and in parts: --stream changes no bit of a trace and nothing of a judgement, and the parts that several
ranks have judged join into the report of the whole.

Usage: stream_test.py BUILD_DIR SOURCE_DIR
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
MODELS = SOURCE / "fixtures" / "models"
TINY = str(MODELS / "tiny")
LAYERS = 5  # of tiny


def header_of(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), 8 + length


def spoil(path, names, flip=0x01):
    """An exponent bit of the first element of each."""
    header, start = header_of(path)
    data = bytearray(path.read_bytes())
    for name in names:
        data[start + header[name]["data_offsets"][0] + 3] ^= flip
    path.write_bytes(data)


def zero(path, names):
    header, start = header_of(path)
    data = bytearray(path.read_bytes())
    for name in names:
        begin, end = (start + offset for offset in header[name]["data_offsets"])
        data[begin:end] = bytes(end - begin)
    path.write_bytes(data)


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_verb(self, *arguments, status=0):
        result = subprocess.run([str(BUILD / "plumbline"), *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                                timeout=600, check=False)
        self.assertEqual(result.returncode, status, (arguments, result.stdout[-3000:], result.stderr))
        return result.stdout + result.stderr

    def refused(self, *arguments, word):
        said = self.run_verb(*arguments, status=2)
        self.assertEqual(said.count("\n"), 1, said)
        self.assertIn(word, said)

    def trace(self, name, *arguments, model=TINY):
        prompt = ["--tokens", "1,2,3,40,5,6,7,18,9"]
        self.run_verb("trace", "--model", model, *prompt, "--engine", "reference", "-o", name, *arguments)

    def page(self, folder):
        return (self.folder / folder / "judge.md").read_text()

    def make_slim(self):
        subprocess.run([BUILD / "plumbline-make-model", "--shape", "slim", "--shards", "2", "-o", self.folder / "slim"], check=True)
        return self.folder / "slim"


class Streamed(Command):
    def equal_both_ways(self, model, *steps):
        """The trace and its judgement, clean and with two ops spoiled."""
        self.trace("held.st", *steps, model=model)
        self.trace("streamed.st", "--stream", *steps, model=model)
        self.run_verb("compare", "held.st", "streamed.st")
        shutil.copy(self.folder / "streamed.st", self.folder / "t.st")
        for status in (0, 1):
            held = self.run_verb("judge", "t.st", "--model", model, "--report-dir", "held", status=status)
            streamed = self.run_verb("judge", "t.st", "--model", model, "--stream", "--report-dir", "streamed", status=status)
            self.assertEqual(held, streamed)
            self.assertEqual(self.page("held"), self.page("streamed"))
            prefix = "seq.0/step.1/" if steps else ""
            zero(self.folder / "t.st", [prefix + "model.layers.0.mlp.act", prefix + "lm_head"])
        self.assertIn("first wrong op", streamed)
        self.assertIn("suspect:", streamed)

    def test_tiny_with_decode_steps(self):
        self.equal_both_ways(TINY, "--steps", "3")

    def test_the_zoo(self):
        for name in ("bf16", "sharded", "mixed", "everything"):
            with self.subTest(model=name):
                self.equal_both_ways(MODELS / "zoo" / name)

    def test_a_vocabulary_of_several_blocks(self):
        self.equal_both_ways(self.make_slim(), "--steps", "2")

    def test_f64(self):
        self.trace("held.st", "--dtype", "f64")
        self.trace("streamed.st", "--dtype", "f64", "--stream")
        self.run_verb("compare", "held.st", "streamed.st")

    def test_memory(self):
        """Six layers of 108 MB in f64, of which one is held; the file is a hole."""
        hidden, intermediate, layers, vocab = 512, 8192, 6, 1000
        config = {**json.loads((MODELS / "tiny" / "config.json").read_text()), "hidden_size": hidden, "intermediate_size": intermediate,
                  "num_hidden_layers": layers, "vocab_size": vocab, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64,
                  "max_window_layers": layers, "tie_word_embeddings": False}
        config.pop("layer_types", None)
        shapes = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden], "lm_head.weight": [vocab, hidden]}
        for layer in range(layers):
            prefix = f"model.layers.{layer}."
            for norm in ("input_layernorm", "post_attention_layernorm"):
                shapes[f"{prefix}{norm}.weight"] = [hidden]
            for projection in "qkvo":
                shapes[f"{prefix}self_attn.{projection}_proj.weight"] = [hidden, hidden]
                if projection != "o":
                    shapes[f"{prefix}self_attn.{projection}_proj.bias"] = [hidden]
            for projection, shape in (("gate", [intermediate, hidden]), ("up", [intermediate, hidden]), ("down", [hidden, intermediate])):
                shapes[f"{prefix}mlp.{projection}_proj.weight"] = shape
        header, place = {}, 0
        for name, shape in shapes.items():
            end = place + 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, end]}
            place = end
        model = self.folder / "holes"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config))
        text = json.dumps(header).encode()
        with open(model / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + place)

        def peak(*words):
            process = subprocess.Popen([str(BUILD / "plumbline"), *map(str, words)], cwd=self.folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            self.assertNotEqual(os.waitstatus_to_exitcode(status), 2, words)
            return usage.ru_maxrss // 1024  # MiB

        layer = 8 * (4 * hidden * hidden + 3 * hidden * intermediate) >> 20
        trace = ["trace", "--model", model, "--tokens", "1,2,3", "--engine", "reference", "--dtype", "f64", "-o", "f64.st"]
        judge = ["judge", "t.st", "--model", model, "--threads", "1"]
        peak("trace", "--model", model, "--tokens", "1,2,3", "-o", "t.st")
        for command in (trace, judge):
            held, streamed = peak(*command), peak(*command, "--stream")
            self.assertGreater(held - streamed, (layers - 3) * layer, (command, held, streamed))

    def test_refusals(self):
        self.refused("trace", "--model", TINY, "--tokens", "1", "--stream", "-o", "t.st", word="cannot stream")
        self.trace("t.st")
        path = self.folder / "t.st"
        path.write_bytes(path.read_bytes()[:-100])
        self.refused("judge", "t.st", "--model", TINY, "--stream", word="t.st")

    def test_weights_that_are_no_numbers_are_found_either_way(self):
        model = self.folder / "nan"
        shutil.copytree(TINY, model)
        weights = model / "model.safetensors"
        header, start = header_of(weights)
        data = bytearray(weights.read_bytes())
        end = start + header["model.embed_tokens.weight"]["data_offsets"][1]
        data[end - 4:end] = struct.pack("<f", float("nan"))  # of a token that nobody asks for
        weights.write_bytes(data)
        for stream in ([], ["--stream"]):
            self.refused("trace", "--model", model, "--tokens", "1,2", "--engine", "reference", "-o", "t.st", *stream, word="NaN")


class Parts(Command):
    def parts(self, trace, *ranges, model=TINY, status=0, options=()):
        names = []
        for layers in ranges:
            names.append(f"part.{layers}.json")
            expected = status.get(layers, 0) if isinstance(status, dict) else status
            self.run_verb("judge", trace, "--model", model, "--layers", layers, "--part", names[-1], *options, status=expected)
        return names

    def joins(self, trace, ranges, model=TINY, part_status=0, status=0, options=()):
        whole = self.run_verb("judge", trace, "--model", model, "--report-dir", "whole", status=status)
        names = self.parts(trace, *ranges, model=model, status=part_status, options=options)
        self.assertEqual(whole, self.run_verb("merge", *names, "--report-dir", "merged", status=status))
        self.assertEqual(self.page("whole"), self.page("merged"))
        return whole

    def test_a_clean_trace(self):
        self.trace("t.st", "--steps", "3")
        self.joins("t.st", ["3-4", "0-1", "2"], options=["--stream", "--threads", "1"])

    def test_one_step_of_one_token(self):
        self.run_verb("trace", "--model", TINY, "--tokens", "7", "--engine", "reference", "-o", "t.st")
        self.joins("t.st", ["0-2", "3-4"])

    def test_two_masks(self):
        self.trace("t.st", model=MODELS / "zoo" / "mixed")
        self.joins("t.st", ["0", "1"], model=MODELS / "zoo" / "mixed")

    def test_one_mistake_in_one_part(self):
        self.trace("t.st")
        spoil(self.folder / "t.st", ["model.layers.3.self_attn.k_rope"])
        said = self.joins("t.st", ["0-2", "3-4"], part_status={"3-4": 1}, status=1)
        self.assertTrue(said.startswith("first wrong op: model.layers.3.self_attn.k_rope"), said)

    def test_mistakes_in_all_parts(self):
        """More than whole lists of suspects are tried on, and in other layers what no earlier one had."""
        self.trace("t.st", "--steps", "2")
        names = [f"seq.0/step.{step}/model.layers.{layer}.self_attn.q_rope" for step in (0, 1) for layer in (0, 2, 4)]
        zero(self.folder / "t.st", names)
        spoil(self.folder / "t.st", [f"seq.0/step.1/model.layers.{layer}.self_attn.q_rope" for layer in (1, 3)])
        spoil(self.folder / "t.st", ["seq.0/step.0/lm_head", "seq.0/step.0/model.embed_tokens"])
        self.joins("t.st", ["0-1", "2-3", "4"], part_status=1, status=1)

    def test_what_no_part_asked_needs_the_trace(self):
        """The suspect that fits layer 0 is asked of layer 3, too, where the part could not know of it."""
        self.trace("t.st")
        zero(self.folder / "t.st", ["model.layers.0.self_attn.v_proj"])
        spoil(self.folder / "t.st", [f"model.layers.{layer}.self_attn.v_proj" for layer in (1, 2, 3, 4)])
        names = self.parts("t.st", "0", "1-4", status=1)
        whole = self.run_verb("judge", "t.st", "--model", TINY, status=1)
        self.assertEqual(whole, self.run_verb("merge", *names, status=1))

    def test_a_trace_that_has_changed_since_is_not_asked(self):
        self.trace("t.st")
        zero(self.folder / "t.st", ["model.layers.0.self_attn.v_proj"])
        spoil(self.folder / "t.st", [f"model.layers.{layer}.self_attn.v_proj" for layer in (1, 2, 3, 4)])
        names = self.parts("t.st", "0", "1-4", status=1)
        spoil(self.folder / "t.st", ["lm_head"])
        self.assertIn("were not tried on the whole, but on the parts alone: t.st: is not what the parts judged",
                      self.run_verb("merge", *names, status=1))

    def test_missing_layers_are_no_pass(self):
        self.trace("t.st")
        names = self.parts("t.st", "0", "3")
        said = self.run_verb("merge", *names, "--report-dir", "merged", status=1)
        self.assertIn("no part has judged layers 1-2, 4\n", said)
        self.assertIn("untested: no part has judged this layer", said)
        self.assertIn("untested", self.page("merged"))
        self.assertIn("model.layers.4.mlp_residual", self.page("merged"))

    def test_what_cannot_be_joined(self):
        self.trace("t.st")
        names = self.parts("t.st", "0-2", "2-4", "3-4")
        self.refused("merge", names[0], names[1], word="layer 2")
        shutil.copy(self.folder / "t.st", self.folder / "u.st")
        spoil(self.folder / "u.st", ["model.layers.4.mlp.act"])
        self.run_verb("judge", "u.st", "--model", TINY, "--layers", "3-4", "--part", "u.json", status=1)
        self.refused("merge", names[0], "u.json", word="another trace")
        # Not only what a part has read counts: here it is another part's layer.
        shutil.copy(self.folder / "t.st", self.folder / "u.st")
        spoil(self.folder / "u.st", ["model.layers.1.mlp.act"])
        self.run_verb("judge", "u.st", "--model", TINY, "--layers", "3-4", "--part", "u.json")
        self.refused("merge", names[0], "u.json", word="another trace")
        strict = self.folder / "strict.yaml"
        strict.write_text((SOURCE / "fixtures" / "tolerances.yaml").read_text() + "\n# strict\n")
        self.run_verb("judge", "t.st", "--model", TINY, "--layers", "3-4", "--part", "s.json", "--tolerances", strict)
        self.refused("merge", names[0], "s.json", word="another set of tolerances")
        part = json.loads((self.folder / names[2]).read_text())
        (self.folder / "w.json").write_text(json.dumps({**part, "weight_hash": "0" * 64}))
        self.refused("merge", names[0], "w.json", word="another model")
        (self.folder / "fewer.json").write_text(json.dumps({**part, "ops": part["ops"][1:]}))
        self.refused("merge", names[0], "fewer.json", word="altered")
        (self.folder / "no.json").write_text("{}")
        self.refused("merge", names[0], "no.json", word="not a part")
        (self.folder / "huge.json").write_text(json.dumps({**part, "layers": 10 ** 9}))
        self.refused("merge", "huge.json", word="layers")
        self.refused("merge", "none.json", word="none.json")

    def test_ranges_that_cannot_be(self):
        self.trace("t.st")
        judge = ["judge", "t.st", "--model", TINY]
        self.refused(*judge, "--layers", "3-5", word="5 layers")
        self.refused(*judge, "--layers", "3-2", word="--layers")
        self.refused(*judge, "--rank", "2", "--ranks", "2", word="0 to 1")
        self.refused(*judge, "--rank", "0", "--ranks", "6", word="--ranks")
        self.refused(*judge, "--ranks", "2", word="--rank")
        self.refused(*judge, "--ranks", "2", "--rank", "0", "--layers", "0", word="--layers")
        self.refused(*judge, "--threads", "-1", word="--threads")
        self.refused(*judge, "--part", "none/part.json", word="none/part.json")

    def test_a_part_is_whole_or_not_there(self):
        self.trace("t.st")
        names = self.parts("t.st", "0-2")
        broken = self.folder / "broken"
        shutil.copytree(TINY, broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4])
        self.refused("judge", "t.st", "--model", broken, "--layers", "3-4", "--part", "dead.json", word="model.safetensors")
        self.assertEqual([], [path.name for path in self.folder.iterdir() if "dead" in path.name])
        self.assertIn("layers 3-4", self.run_verb("merge", *names, status=1))

    def test_ranks_as_plain_processes(self):
        """What a launcher does (docs/scale.md), by hand: all at the same time."""
        self.trace("t.st", "--steps", "2")
        ranks = 3
        running = [subprocess.Popen([BUILD / "plumbline", "judge", "t.st", "--model", TINY, "--rank", str(rank), "--ranks", str(ranks),
                                     "--threads", "1", "--part", f"part.{rank}.json"], cwd=self.folder, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL) for rank in range(ranks)]
        self.assertEqual([0] * ranks, [process.wait(timeout=600) for process in running])
        whole = self.run_verb("judge", "t.st", "--model", TINY, "--report-dir", "whole")
        self.assertEqual(whole, self.run_verb("merge", *(f"part.{rank}.json" for rank in range(ranks)), "--report-dir", "merged"))
        self.assertEqual(self.page("whole"), self.page("merged"))
        covered = [(part["first_layer"], part["last_layer"])
                   for part in (json.loads((self.folder / f"part.{rank}.json").read_text()) for rank in range(ranks))]
        self.assertEqual(list(range(LAYERS)), [layer for first, last in covered for layer in range(first, last + 1)])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
