"""Mistakes of a converter to GGUF, each with the op that it makes wrong and what the judge should say of it."""
from dataclasses import dataclass
from typing import ContextManager
from unittest import mock

import numpy as np

from capture.gguf_config import parameters, tensor_names
from capture.weights import Weights


@dataclass
class Mistake:
    name: str
    planted: ContextManager
    op: str               # the first wrong op
    says: str             # the suspect that fits; "" where none does
    model: str = "tiny"   # in fixtures/models/


def parameter(key, change):
    def wrong(config, where):
        values = parameters(config, where)
        return {**values, key: change(values[key])}
    return mock.patch("capture.gguf_file.parameters", wrong)


def names(change):
    def wrong(config):
        table = tensor_names(config)
        change(table)
        return table
    return mock.patch("capture.gguf_file.tensor_names", wrong)


def weight(part, change, read=Weights.read):
    def wrong(self, name):
        return change(read(self, name)) if part in name else read(self, name)
    return mock.patch.object(Weights, "read", wrong)


def pairs(rows):
    """What converters of LLaMA do to queries and keys, and must not do here; [2 halves of a head] become [pairs]."""
    return rows.reshape(-1, 2, 10, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def exchange(table, one, other):
    table[one], table[other] = table[other], table[one]


def exchange_gate_and_up(table):
    for layer in range(5):
        exchange(table, f"blk.{layer}.ffn_gate.weight", f"blk.{layer}.ffn_up.weight")


def halved(values):
    return values.astype(np.float16).astype(np.float32)


LAYER = "model.layers.{}.".format
MISTAKES = [
    Mistake("rope base of LLaMA", parameter("rope.freq_base", lambda _: 10000.0), LAYER(0) + "self_attn.q_rope", "rope_theta 10000"),
    Mistake("eps x 10", parameter("attention.layer_norm_rms_epsilon", lambda eps: 10 * eps), LAYER(0) + "input_layernorm",
            "eps hard-coded 1e-5"),
    Mistake("no bias of q", names(lambda table: table.pop("blk.2.attn_q.bias")), LAYER(2) + "self_attn.q_proj", "bias missing"),
    Mistake("gate and up swapped", names(exchange_gate_and_up), LAYER(0) + "mlp.gate_proj", "gate and up swapped"),
    Mistake("norms exchanged", names(lambda table: exchange(table, "blk.1.attn_norm.weight", "blk.1.ffn_norm.weight")),
            LAYER(1) + "input_layernorm", "weights of post_attention_layernorm"),
    Mistake("norms of Gemma", weight("layernorm", lambda values: values + 1), LAYER(0) + "input_layernorm", "norm weight plus one"),
    Mistake("pairs of LLaMA", weight("q_proj.weight", pairs), LAYER(0) + "self_attn.q_proj",
            "rows permuted for interleaved rotary pairs, the bias not"),
    Mistake("head taken for tied", names(lambda table: table.pop("output.weight")), "lm_head", "lm_head tied to the embedding", "zoo/gqa"),
    Mistake("weights in f16", weight("down_proj", halved), LAYER(0) + "mlp.down_proj", "f16 weights"),
    Mistake("no factor of YaRN", parameter("rope.scaling.attn_factor", lambda _: 1.0), LAYER(0) + "self_attn.q_rope", "", "zoo/yarn-5x"),
]
