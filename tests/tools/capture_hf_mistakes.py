"""Mistakes patched into Hugging Face's Qwen2, each with the op that it makes wrong and what the judge should say of it."""
import contextlib
from dataclasses import dataclass
from typing import Callable
from unittest import mock

import torch
from transformers.cache_utils import DynamicLayer
from transformers.integrations import sdpa_attention
from transformers.models.qwen2 import modeling_qwen2 as qwen2


@dataclass
class Mistake:
    name: str
    plant: Callable   # model -> context manager
    op: str           # the first wrong op
    says: str         # the suspect that fits; "" where none should
    fused: str = ""   # the first wrong op where attention is fused, if it is another

    @property
    def of_attention(self):
        return "self_attn" in self.op or "mask" in self.op


def patched(name, replacement):
    return lambda model: mock.patch.object(qwen2, name, replacement)


def method(owner, replacement):
    return lambda model: mock.patch.object(owner, "forward", replacement)


@contextlib.contextmanager
def altered(owner, name, value):
    """An attribute of a module, a submodule or parameter included."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def rotate_pairs(q, k, cos, sin, unsqueeze_dim=1):
    half = cos.shape[-1] // 2
    cos, sin = (table[..., :half].repeat_interleave(2, -1).unsqueeze(unsqueeze_dim) for table in (cos, sin))

    def turned(x):
        return torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)

    return q * cos + turned(q) * sin, k * cos + turned(k) * sin


def rotate_half_backwards(x):
    first, second = x.chunk(2, -1)
    return torch.cat([second, -first], -1)


def rotate_queries_only(q, k, cos, sin, unsqueeze_dim=1, rotate=qwen2.apply_rotary_pos_emb):
    return rotate(q, k, cos, sin, unsqueeze_dim)[0], k


def normed(self, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def norm_with_eps_outside(self, x):
    wide = x.float()
    return self.weight * (wide / (wide.pow(2).mean(-1, keepdim=True).sqrt() + self.variance_epsilon)).to(x.dtype)


def norm_with_weight_plus_one(self, x):
    return (1 + self.weight) * normed(self, x.float()).to(x.dtype)


def norm_with_weight_before_the_cast(self, x):
    return (self.weight.float() * normed(self, x.float())).to(x.dtype)


def norm_in_its_own_dtype(self, x):
    return self.weight * normed(self, x)


def softmax_by_hand(module, query, key, value, attention_mask, scaling, **kwargs):
    """Eager attention whose softmax is taken step by step in the model's own dtype."""
    key, value = (qwen2.repeat_kv(states, module.num_key_value_groups) for states in (key, value))
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def one_running_sum(self, x):
    """A linear layer that rounds its sum to its own dtype after each product."""
    total = torch.zeros(*x.shape[:-1], self.out_features, dtype=x.dtype)
    for place in range(self.in_features):
        total = (total.float() + x[..., place, None].float() * self.weight[:, place].float()).to(x.dtype)
    return total + self.bias if self.bias is not None else total


def angles_rounded(model):
    def forward(self, x, position_ids):
        angles = (position_ids[..., None].float() * self.inv_freq).to(x.dtype).float()
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return mock.patch.object(qwen2.Qwen2RotaryEmbedding, "forward", forward)


def frequencies_rounded(model):
    rotary = model.model.rotary_emb
    return altered(rotary, "inv_freq", rotary.inv_freq.to(model.dtype).float())


def one_projection(name, forward):
    def plant(model):
        layer = model.model.layers[0].get_submodule(name)
        return altered(layer, "forward", forward.__get__(layer))
    return plant


def mlp_swapped(self, x):
    return self.down_proj(self.act_fn(self.up_proj(x)) * self.gate_proj(x))


def scaling(value):
    @contextlib.contextmanager
    def plant(model):
        with contextlib.ExitStack() as stack:
            for layer in model.model.layers:
                stack.enter_context(altered(layer.self_attn, "scaling", value(layer.self_attn)))
            yield
    return plant


def mask_one_ahead(make=qwen2.create_causal_mask):
    def wrong(*args, **kwargs):
        mask = make(*args, **kwargs)
        if mask is None:  # fused attention, told to be causal: here it is told by a mask
            width = kwargs["inputs_embeds"].shape[1]
            past = kwargs["past_key_values"].get_seq_length()
            mask = torch.ones(1, 1, width, past + width, dtype=torch.bool).tril(past)
        if mask.shape[2] == 1:
            return mask
        seen = torch.full_like(mask[..., :1], True if mask.dtype == torch.bool else 0.0)
        return torch.cat([seen, mask[..., :-1]], -1)
    return wrong


def heads_tiled(model):
    stack = contextlib.ExitStack()
    for module in (qwen2, sdpa_attention):
        stack.enter_context(mock.patch.object(module, "repeat_kv", lambda x, n: x.repeat(1, n, 1, 1)))
    stack.enter_context(mock.patch.object(sdpa_attention, "use_gqa_in_sdpa", lambda *_: False))
    return stack


@contextlib.contextmanager
def decode_positions_one_ahead(model):
    def hook(module, args, kwargs):
        if kwargs["input_ids"].shape[1] == 1:
            kwargs["position_ids"] = kwargs["position_ids"] + 1
        return args, kwargs
    handle = model.model.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def tables_one_ahead(model):
    def forward(self, x, position_ids, right=qwen2.Qwen2RotaryEmbedding.forward):
        return right(self, x, position_ids + (position_ids.shape[-1] == 1))
    return mock.patch.object(qwen2.Qwen2RotaryEmbedding, "forward", forward)


def layer_without_attention_residual(self, hidden_states, **kwargs):
    hidden, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
    return hidden + self.mlp(self.post_attention_layernorm(hidden))


def keys_and_values_exchanged(model):
    def update(self, key_states, value_states, *args, right=DynamicLayer.update, **kwargs):
        return right(self, value_states, key_states, *args, **kwargs)
    return mock.patch.object(DynamicLayer, "update", update)


def untied_head(model):
    generator = torch.Generator().manual_seed(3)
    weight = (torch.randn(model.lm_head.weight.shape, generator=generator) * 0.02).to(model.dtype)
    return altered(model.lm_head, "weight", torch.nn.Parameter(weight))


STEP_0, STEP_1 = "seq.0/step.0/", "seq.0/step.1/"
LAYER = STEP_0 + "model.layers.0."
ATTENTION = LAYER + "self_attn."
MISTAKES = [
    Mistake("rope interleaved", patched("apply_rotary_pos_emb", rotate_pairs), ATTENTION + "q_rope", "rotary pairs interleaved"),
    Mistake("rotate_half's sign", patched("rotate_half", rotate_half_backwards), ATTENTION + "q_rope", "rotary sign flipped"),
    Mistake("keys not rotated", patched("apply_rotary_pos_emb", rotate_queries_only), ATTENTION + "k_rope", "not rotated"),
    Mistake("eps outside the root", method(qwen2.Qwen2RMSNorm, norm_with_eps_outside), LAYER + "input_layernorm",
            "eps outside the root"),
    Mistake("norm weight plus one", method(qwen2.Qwen2RMSNorm, norm_with_weight_plus_one), LAYER + "input_layernorm",
            "norm weight plus one"),
    Mistake("no scale", scaling(lambda attention: 1.0), ATTENTION + "scores", "scale missing", ATTENTION + "context"),
    Mistake("scale by hidden size", scaling(lambda attention: attention.config.hidden_size ** -0.5), ATTENTION + "scores",
            "scale by hidden size", ATTENTION + "context"),
    Mistake("kv heads tiled", heads_tiled, ATTENTION + "scores", "kv heads tiled", ATTENTION + "context"),
    Mistake("mask one ahead", patched("create_causal_mask", mask_one_ahead()), STEP_0 + "attention_mask",
            "causal mask one token ahead"),
    Mistake("bias dropped", lambda model: altered(model.model.layers[0].self_attn.q_proj, "bias", None), ATTENTION + "q_proj",
            "bias missing"),
    Mistake("gelu for silu", lambda model: altered(model.model.layers[0].mlp, "act_fn", torch.nn.GELU()), LAYER + "mlp.act",
            "GELU instead of SiLU"),
    Mistake("gate and up swapped", method(qwen2.Qwen2MLP, mlp_swapped), LAYER + "mlp.act", "gate and up swapped"),
    Mistake("positions one ahead in decode", decode_positions_one_ahead, STEP_1 + "position_ids", "positions one ahead"),
    Mistake("tables one ahead in decode", tables_one_ahead, STEP_1 + "model.rotary_emb.cos", "positions one ahead"),
    Mistake("residual skipped", method(qwen2.Qwen2DecoderLayer, layer_without_attention_residual), LAYER + "attn_residual",
            "residual missing"),
    Mistake("last norm missing", lambda model: altered(model.model, "norm", torch.nn.Identity()), STEP_0 + "model.norm",
            "norm left out"),
    Mistake("keys and values exchanged in the cache", keys_and_values_exchanged, STEP_0 + "past_key_values.0.key",
            "keys and values swapped"),
    Mistake("untied head", untied_head, STEP_0 + "lm_head", ""),
]
HIDDEN_IN_BF16 = {"eps outside the root"}  # less than half a spacing, in tiny
# Of half types, in bf16.
HALF_MISTAKES = [
    Mistake("norm's weight before the cast", method(qwen2.Qwen2RMSNorm, norm_with_weight_before_the_cast),
            LAYER + "input_layernorm", "rounded once only"),
    Mistake("squares summed in bf16", method(qwen2.Qwen2RMSNorm, norm_in_its_own_dtype), LAYER + "input_layernorm",
            "normed in bf16"),
    Mistake("softmax in bf16", patched("eager_attention_forward", softmax_by_hand), ATTENTION + "probs", "softmax in bf16"),
    Mistake("angles in bf16", angles_rounded, STEP_0 + "model.rotary_emb.cos", "bf16 angles"),
    Mistake("frequencies in bf16", frequencies_rounded, STEP_0 + "model.rotary_emb.inv_freq",
            "output rounded to bf16"),
    Mistake("sums in bf16", one_projection("mlp.down_proj", one_running_sum), LAYER + "mlp.down_proj", "bf16 accumulation"),
]
