"""Which of llama.cpp's tensors is which probe, by its name, its operation and what it is made of. Plain Python.

A graph of Qwen2 names its tensors "Qcur-3": what, and the layer. One name may stand for several operations in turn."""

MODEL = {"embd": "model.embed_tokens", "result_norm": "model.norm", "result_output": "lm_head"}
LAYER = {"attn_norm": "input_layernorm", "kq": "self_attn.scores", "kq_soft_max": "self_attn.probs", "kqv_out": "self_attn.context",
         "ffn_inp": "attn_residual", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_swiglu": "mlp.act", "ffn_out": "mlp.down_proj", "l_out": "mlp_residual"}
PROJECTED = {"Qcur": "self_attn.q_proj", "Kcur": "self_attn.k_proj", "Vcur": "self_attn.v_proj"}
ROTATED = {"Qcur": "self_attn.q_rope", "Kcur": "self_attn.k_rope"}


def split(name):
    """("Qcur", 3) of "Qcur-3"; (name, None) of one that is of no layer."""
    what, dash, layer = name.rpartition("-")
    return (what, int(layer)) if dash and layer.isascii() and layer.isdigit() else (name, None)


def probe_of(name, op, sources):
    """The probe that a tensor is, or None. `sources`: names of what the operation reads.

    A projection is its MUL_MAT and then, where there is a bias, its ADD: the later one counts."""
    what, layer = split(name)
    if layer is None:
        readers_of = [split(source) for source in sources] if op == "MUL_MAT" else []
        of_context = next((number for source, number in readers_of if source == "kqv_out"), None)
        return MODEL.get(name) if of_context is None else f"model.layers.{of_context}.self_attn.o_proj"
    if op == "ROPE":
        found = ROTATED.get(what)
    elif op in ("MUL_MAT", "ADD") and what in PROJECTED:
        found = PROJECTED[what]
    else:
        found = LAYER.get(what)
    return found and f"model.layers.{layer}.{found}"


def values_of(name, op):
    """The layer whose cached values a tensor is made of: "kqv-3" is values times probs. None for any other."""
    what, layer = split(name)
    return layer if what == "kqv" and op == "MUL_MAT" else None
