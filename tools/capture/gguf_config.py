"""What a GGUF says of a Qwen2 checkpoint: parameters, tensors' names, vocabulary. Refuses what llama.cpp cannot run. Plain Python."""
import json
import math
from pathlib import Path

from capture.checkpoint import first_line
from capture.errors import CaptureError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens in a GGUF

MODEL_TENSORS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
LAYER_TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight", "attn_q.bias": "self_attn.q_proj.bias",
    "attn_k.weight": "self_attn.k_proj.weight", "attn_k.bias": "self_attn.k_proj.bias",
    "attn_v.weight": "self_attn.v_proj.weight", "attn_v.bias": "self_attn.v_proj.bias",
    "attn_output.weight": "self_attn.o_proj.weight", "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight", "ffn_up.weight": "mlp.up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight"}


def parameters(config, where):
    """GGUF's keys after "qwen2."; raises CaptureError for a model that llama.cpp loads wrongly or not at all."""
    def refuse(what):
        raise CaptureError(f"{where}: llama.cpp cannot run this: {what}")

    try:
        hidden, heads, layers = (config[key] for key in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
        length = config.get("max_position_embeddings", 32768)
        if (config.get("head_dim") or hidden // heads) * heads != hidden:
            refuse(f"{heads} heads of head_dim {config.get('head_dim') or hidden // heads} do not make its hidden size of {hidden}")
        if slides(config, layers):
            refuse(f"its layers see a window of {config['sliding_window']} tokens, and llama.cpp's Qwen2 has none")
        if config.get("hidden_act", "silu") != "silu":
            refuse(f"hidden_act is {config['hidden_act']!r}, not 'silu'")
        return {"block_count": layers, "context_length": length, "embedding_length": hidden,
                "feed_forward_length": config["intermediate_size"], "attention.head_count": heads,
                "attention.head_count_kv": config.get("num_key_value_heads") or heads,
                "attention.layer_norm_rms_epsilon": float(config.get("rms_norm_eps", 1e-6)), **rotation(config, length, refuse)}
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CaptureError(f"{where}: cannot be understood: {type(error).__name__} {first_line(error)}") from error


def slides(config, layers):
    """Whether any layer has a sliding window: layer_types says it, or without it max_window_layers."""
    if not config.get("use_sliding_window") or config.get("sliding_window") is None:
        return False
    kinds = config.get("layer_types")
    return "sliding_attention" in kinds if kinds else config.get("max_window_layers", 28) < layers


def rotation(config, length, refuse):
    """Rotary parameters, from wherever either generation of transformers keeps them."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    found = {"rope.freq_base": float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))}
    if kind == "default":
        return found
    if kind != "yarn" or not rope.get("truncate", True):
        refuse(f"rotary embedding of type {kind!r}" + (" without truncation" if kind == "yarn" else ""))
    original = config.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings") or length
    factor = float(rope["factor"] if rope["factor"] is not None else length / original)
    # llama.cpp multiplies cos and sin by 1 + 0.1 ln(factor) and by attn_factor.
    usual = 0.1 * math.log(factor) + 1.0
    some, every = rope.get("mscale"), rope.get("mscale_all_dim")
    wanted = rope.get("attention_factor")
    if wanted is None:
        wanted = (0.1 * some * math.log(factor) + 1.0) / (0.1 * every * math.log(factor) + 1.0) if some and every else usual
    return {**found, "rope.scaling.type": "yarn", "rope.scaling.factor": factor,
            "rope.scaling.original_context_length": int(original), "rope.scaling.attn_factor": wanted / usual,
            "rope.scaling.yarn_beta_fast": float(rope.get("beta_fast") or 32.0),
            "rope.scaling.yarn_beta_slow": float(rope.get("beta_slow") or 1.0)}


def tensor_names(config):
    """GGUF's name of each weight, and the checkpoint's."""
    names = dict(MODEL_TENSORS)
    if not config.get("tie_word_embeddings", False):
        names["output.weight"] = "lm_head.weight"
    for layer in range(config["num_hidden_layers"]):
        names.update({f"blk.{layer}.{ours}": f"model.layers.{layer}.{theirs}" for ours, theirs in LAYER_TENSORS.items()})
    return names


def has_tokenizer(directory):
    return (Path(directory) / "tokenizer.json").exists()


def vocabulary(directory, size):
    """Tokens, their kinds, and merges. Without tokenizer.json: made up, for llama.cpp loads no model without."""
    tokens, kinds, merges = [f"[UNUSED{i}]" for i in range(size)], [UNUSED] * size, ["a b"]
    if not has_tokenizer(directory):
        return tokens, kinds, merges
    path = Path(directory) / "tokenizer.json"
    try:
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        for token, number in tokenizer["model"]["vocab"].items():
            tokens[number], kinds[number] = token, NORMAL
        for added in tokenizer.get("added_tokens") or []:
            tokens[added["id"]] = added["content"]
            kinds[added["id"]] = CONTROL if added.get("special") else USER_DEFINED
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]] or merges
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CaptureError(f"{path}: cannot be read as a byte-level BPE tokenizer of at most {size} tokens "
                           f"({type(error).__name__} {first_line(error)})") from error
    return tokens, kinds, merges
