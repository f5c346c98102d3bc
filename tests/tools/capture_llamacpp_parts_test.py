"""The parts of tools/capture_llamacpp.py that need neither llama.cpp nor gguf: names, conversion, pieces, bad arguments.

Usage: capture_llamacpp_parts_test.py. What needs numpy is skipped where there is none.
"""
import ctypes
import importlib.util
import json
import re
import sys
import unittest
from unittest import mock

from capture_llamacpp_case import NEEDED, REFUSED, SOURCE, TINY, ZOO, ToolCase

from capture import CaptureError
from capture.checkpoint import read_config
from capture.gguf_config import CONTROL, NORMAL, UNUSED, parameters, tensor_names, vocabulary
from capture.ggml_probes import probe_of, values_of


class Names(unittest.TestCase):
    LAYER = [  # as llama.cpp 0.3.36 computes them: name, operation, what is read
        ("norm-7", "RMS_NORM", ["l_out-6"], None), ("attn_norm-7", "MUL", ["norm-7", "blk.7.attn_norm.weight"], "input_layernorm"),
        ("Qcur-7", "MUL_MAT", ["blk.7.attn_q.weight", "attn_norm-7"], "self_attn.q_proj"),
        ("Qcur-7", "ADD", ["Qcur-7", "blk.7.attn_q.bias"], "self_attn.q_proj"), ("Qcur-7", "RESHAPE", ["Qcur-7"], None),
        ("Qcur-7", "ROPE", ["Qcur-7", "leaf_4"], "self_attn.q_rope"),
        ("Vcur-7", "MUL_MAT", ["blk.7.attn_v.weight", "attn_norm-7"], "self_attn.v_proj"),
        ("Vcur-7", "ADD", ["Vcur-7", "blk.7.attn_v.bias"], "self_attn.v_proj"), ("Vcur-7", "RESHAPE", ["Vcur-7"], None),
        ("Kcur-7", "MUL_MAT", ["blk.7.attn_k.weight", "attn_norm-7"], "self_attn.k_proj"),
        ("Kcur-7", "ADD", ["Kcur-7", "blk.7.attn_k.bias"], "self_attn.k_proj"), ("Kcur-7", "RESHAPE", ["Kcur-7"], None),
        ("Kcur-7", "ROPE", ["Kcur-7", "leaf_4"], "self_attn.k_rope"), ("cache_k_l7 (view)", "SET_ROWS", ["Kcur-7 (view)"], None),
        ("kq-7", "MUL_MAT", ["cache_k_l7 (view) (permuted)", "Qcur-7 (view) (permuted)"], "self_attn.scores"),
        ("kq_soft_max-7", "SOFT_MAX", ["kq-7", "attn_inp_kq_mask"], "self_attn.probs"),
        ("kqv-7", "MUL_MAT", ["cache_v_l7 (view) (permuted)", "kq_soft_max-7"], None), ("kqv-7 (permuted)", "PERMUTE", ["kqv-7"], None),
        ("kqv_out-7", "CONT", ["kqv-7 (permuted)"], "self_attn.context"),
        ("node_229", "MUL_MAT", ["blk.7.attn_output.weight", "kqv_out-7"], "self_attn.o_proj"),
        ("node_230", "GET_ROWS", ["node_229", "leaf_9"], None), ("ffn_inp-7", "ADD", ["node_229", "l_out-6"], "attn_residual"),
        ("ffn_norm-7", "MUL", ["norm-7", "blk.7.ffn_norm.weight"], "post_attention_layernorm"),
        ("ffn_gate-7", "MUL_MAT", ["blk.7.ffn_gate.weight", "ffn_norm-7"], "mlp.gate_proj"),
        ("ffn_up-7", "MUL_MAT", ["blk.7.ffn_up.weight", "ffn_norm-7"], "mlp.up_proj"),
        ("ffn_swiglu-7", "GLU", ["ffn_gate-7", "ffn_up-7"], "mlp.act"),
        ("ffn_out-7", "MUL_MAT", ["blk.7.ffn_down.weight", "ffn_swiglu-7"], "mlp.down_proj"),
        ("l_out-7", "ADD", ["ffn_out-7", "ffn_inp-7"], "mlp_residual")]
    MODEL = [
        ("embd", "GET_ROWS", ["token_embd.weight", "inp_tokens"], "model.embed_tokens"), ("norm", "RMS_NORM", ["l_out-7"], None),
        ("result_norm", "MUL", ["norm", "output_norm.weight"], "model.norm"),
        ("result_output", "MUL_MAT", ["token_embd.weight", "result_norm"], "lm_head")]

    def test_each_tensor_is_its_probe(self):
        for name, op, sources, probe in self.LAYER:
            wanted = probe and f"model.layers.7.{probe}"
            self.assertEqual(probe_of(name, op, sources), wanted, (name, op))
            name, sources = name.replace("7", "31"), [source.replace("7", "31") for source in sources]
            self.assertEqual(probe_of(name, op, sources), wanted and wanted.replace("7", "31"), (name, op))
        for name, op, sources, probe in self.MODEL:
            self.assertEqual(probe_of(name, op, sources), probe, (name, op))
        self.assertEqual({name: values_of(name, op) for name, op, *_ in self.LAYER if values_of(name, op) is not None}, {"kqv-7": 7})

    def test_all_probes_of_the_format_are_seen_but_the_tables(self):
        """Those that are computed; ids, positions, masks and caches are read as what an operation reads."""
        text = (SOURCE / "docs/trace-format.md").read_text(encoding="utf-8")
        cells = re.findall(r"^\| (`[^|]+) \| \[(?:T|heads)", text, re.MULTILINE)
        listed = re.findall(r"`([\w.]+)`", "".join(cells))
        wanted = {name for name in listed if not name.startswith(("input_ids", "position_ids", "attention_mask", "model.rotary_emb."))}
        self.assertEqual({probe for *_, probe in self.LAYER + self.MODEL if probe}, wanted)


class Conversion(unittest.TestCase):
    def test_what_llama_cpp_cannot_run_is_refused(self):
        for folder in sorted(ZOO.iterdir()):
            config = read_config(folder)
            if folder.name in REFUSED:
                with self.assertRaisesRegex(CaptureError, f"{folder.name}.config.json: llama.cpp cannot run this: .*{REFUSED[folder.name]}"):
                    parameters(config, folder / "config.json")
            else:
                self.assertEqual(parameters(config, folder)["block_count"], config["num_hidden_layers"], folder.name)
        for says, change in (("linear", {"rope_scaling": {"type": "linear", "factor": 2.0}}), ("hidden_act", {"hidden_act": "gelu"}),
                             ("truncation", {"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}),
                             ("KeyError", {"rope_scaling": {"type": "yarn"}}), ("understood", {"rms_norm_eps": "small"}),
                             ("understood", {"num_attention_heads": 0}), ("understood", {"rope_parameters": [1]})):
            with self.subTest(says), self.assertRaisesRegex(CaptureError, says):
                parameters({**read_config(TINY), **change}, "x")

    def test_parameters(self):
        self.assertEqual(parameters(read_config(TINY), "x"), {
            "block_count": 5, "context_length": 32768, "embedding_length": 120, "feed_forward_length": 328, "attention.head_count": 6,
            "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6})
        self.assertEqual(parameters(read_config(ZOO / "gqa"), "x")["rope.freq_base"], 10000.0)
        yarn = parameters(read_config(ZOO / "yarn-4x"), "x")
        self.assertEqual((yarn["rope.scaling.type"], yarn["rope.scaling.factor"], yarn["rope.scaling.original_context_length"],
                          yarn["rope.scaling.attn_factor"], yarn["rope.scaling.yarn_beta_fast"]), ("yarn", 4.0, 256, 1.0, 32.0))
        yarn = parameters(read_config(ZOO / "yarn-5x"), "x")
        self.assertAlmostEqual(yarn["rope.scaling.attn_factor"], 1.5 / 1.2772588722239782)  # over 1 + 0.1 ln(16)
        self.assertEqual((yarn["rope.scaling.yarn_beta_fast"], yarn["rope.scaling.yarn_beta_slow"]), (8.0, 2.0))

    def test_every_weight_has_a_place(self):
        for folder in (ZOO / "gqa", ZOO / "mha", TINY):
            with (folder / "model.safetensors").open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            self.assertEqual(sorted(tensor_names(read_config(folder)).values()), sorted(set(header) - {"__metadata__"}))

    def test_vocabulary(self):
        tokens, kinds, merges = vocabulary(TINY, 1024)
        self.assertEqual((len(tokens), len(kinds), len(set(tokens))), (1024, 1024, 1024))
        self.assertEqual((tokens[997], merges[:2]), ("<|endoftext|>", ["Ġ t", "h e"]))
        self.assertEqual((kinds[0], kinds[997], kinds[1000]), (NORMAL, CONTROL, UNUSED))
        tokens, kinds, merges = vocabulary(ZOO / "gqa", 131)
        self.assertEqual((len(set(tokens)), set(kinds), len(merges)), (131, {UNUSED}, 1))
        with self.assertRaisesRegex(CaptureError, "tokenizer.json: cannot be read .* at most 900"):
            vocabulary(TINY, 900)


@unittest.skipUnless(importlib.util.find_spec("numpy"), "no numpy")
class Arrays(unittest.TestCase):
    def test_pieces_are_joined(self):
        import numpy as np
        from capture.pieces import join
        generator = np.random.default_rng(9)
        past, sizes, heads = 3, (4, 4, 2), 2
        total = past + sum(sizes)
        scores = generator.random((heads, sum(sizes), total), dtype=np.float32)
        allowed = np.tri(sum(sizes), total, past, dtype=bool)
        whole = {"input_ids": np.arange(10), "lm_head": generator.random((10, 5)), "attention_mask": allowed,
                 "model.layers.0.self_attn.probs": scores * allowed, "past_key_values.0.key": generator.random((total, 1, 4))}
        pieces, begin = [], 0
        for size in sizes:
            rows, keys = slice(begin, begin + size), past + begin + size
            pieces.append({name: array[:keys] if name.startswith("past") else array[rows] if name in ("input_ids", "lm_head")
                           else array[..., rows, :keys] for name, array in whole.items()})
            begin += size
        joined = join(pieces)
        self.assertEqual(joined.keys(), whole.keys())
        for name, array in whole.items():
            np.testing.assert_array_equal(joined[name], array, name)
        self.assertEqual(join([{"a": np.zeros(1), "b": np.zeros(1)}, {"a": np.zeros(1)}]).keys(), {"a"})

    def tensor(self, array, op=0, name=b"", dtype=0, sources=()):
        """A tensor of ggml's whose values are the array's, strides included."""
        from capture import ggml
        made = ggml.Tensor(type=dtype, op=op, name=name, data=array.ctypes.data)
        missing = 4 - array.ndim
        made.ne[:] = [*array.shape[::-1], *[1] * missing]
        made.nb[:] = [*array.strides[::-1], *[array.nbytes] * missing]
        for i, source in enumerate(sources):
            made.src[i] = ctypes.pointer(source)
        made.kept = array
        return made

    def test_values_are_read_by_their_strides(self):
        import numpy as np
        from capture import ggml
        array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 0, 2)[:, :, 1:]
        np.testing.assert_array_equal(ggml.read(self.tensor(array))[0], array)
        tokens = np.array([5, 6], dtype=np.int32)
        self.assertEqual(ggml.read(self.tensor(tokens, dtype=26)).flatten().tolist(), [5, 6])
        with self.assertRaisesRegex(CaptureError, "type"):
            ggml.read(self.tensor(tokens, dtype=12))

    def test_a_graph_out_of_order_and_a_mask_beyond_the_tokens(self):
        import numpy as np
        from capture.llamacpp_graph import Graph
        ops = {1: "GET_ROWS", 2: "SOFT_MAX", 3: "MUL_MAT"}
        library = mock.Mock(tensor=lambda tensor: tensor, op=lambda tensor: ops[tensor.op])
        ids = self.tensor(np.array([7, 8], dtype=np.int32), dtype=26)
        embedding = self.tensor(np.ones((2, 4), dtype=np.float32), 1, b"embd", 0, [ids, ids])
        keys = self.tensor(np.ones((1, 8, 4), dtype=np.float32))
        products = self.tensor(np.ones((2, 2, 8), dtype=np.float32), 3, b"kq-0", 0, [keys])

        def softmax(mask):
            made = self.tensor(np.full((2, 2, 8), 0.125, dtype=np.float32), 2, b"kq_soft_max-0", 0, [products, self.tensor(mask)])
            made.op_params[:4] = np.float32(0.5).tobytes()
            return made

        mask = np.full((2, 8), -np.inf, dtype=np.float32)
        mask[0, :4] = mask[1, :5] = 0
        graph = Graph(library)
        graph.begin(3)
        self.assertTrue(graph.see(embedding, True, None))
        for tensor in (embedding, products, softmax(mask)):
            self.assertTrue(graph.see(tensor, False, None))
        step = graph.end()
        self.assertEqual(step["input_ids"].tolist(), [7, 8])
        self.assertEqual(step["attention_mask"].tolist(), [[True] * 4 + [False], [True] * 5])
        self.assertEqual(step["past_key_values.0.key"].shape, (5, 1, 4))
        np.testing.assert_array_equal(step["model.layers.0.self_attn.scores"], np.full((2, 2, 5), 0.5))  # scaled by the softmax's 0.5
        self.assertEqual(step["model.layers.0.self_attn.probs"].shape, (2, 2, 5))

        mask[0, 6] = 0
        graph.begin(3)
        self.assertEqual([graph.see(tensor, False, None) for tensor in (embedding, products, softmax(mask))], [True, True, False])
        with self.assertRaisesRegex(CaptureError, "free slot"):
            graph.end()
        graph.begin(0)
        self.assertFalse(graph.see(products, False, None))
        with self.assertRaisesRegex(CaptureError, "before the embedding"):
            graph.end()


class Arguments(ToolCase):
    def test_bad_input_is_one_line(self):
        ids = ["--tokens", "1,2"]
        self.assert_refused([
            ("one of the arguments", "--model", TINY), ("config.json", "--model", self.folder, *ids),
            ("commas", "--model", TINY, "--tokens", "1,x"), ("--steps", "--model", TINY, *ids, "--steps", "0"),
            ("--threads", "--model", TINY, *ids, "--threads", "0"), ("--ubatch", "--model", TINY, *ids, "--ubatch", "-1"),
            ("no such folder", "--model", TINY, *ids, "-o", self.folder / "none" / "t.safetensors"),
            ("cannot be read", "--model", TINY, "--prompts", self.folder / "none.txt"),
            ("tokenizer.json", "--model", ZOO / "gqa", "--prompt", "x"),
            *((says, "--model", ZOO / name, *ids) for name, says in REFUSED.items())])

    def test_a_package_that_is_missing_is_named(self):
        for module in NEEDED:
            package = "llama-cpp-python" if module == "llama_cpp" else module
            stand_ins = {name: mock.Mock() for name in NEEDED if name != module}
            with mock.patch.dict(sys.modules, {**stand_ins, module: None}):
                self.assert_refused([(f"pip install {package}\n", "--model", TINY, "--tokens", "1,2")])


if __name__ == "__main__":
    unittest.main()
