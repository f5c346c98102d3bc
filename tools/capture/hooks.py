"""capture(model): records what a Hugging Face Qwen2 computes at the probes of docs/trace-format.md.

Modules are hooked; the rotary and attention functions of the model's own file are wrapped while the capture lasts. What cannot
be seen (scores and probs of a fused attention) is left out."""
import torch

from capture.attention import Interfaces, Watch, allowed_keys, key_columns
from capture.errors import CaptureError
from capture.sequences import Sequences
from capture.torch_trace import new_trace

OUTPUTS = ["input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
INPUTS = {"self_attn.o_proj": "self_attn.context", "post_attention_layernorm": "attn_residual", "mlp.down_proj": "mlp.act"}
CALL = ["input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"]  # Qwen2Model.forward's order


def argument(names, name, args, kwargs):
    """An argument of a call, by keyword or by its place."""
    place = names.index(name)
    return kwargs.get(name, args[place] if place < len(args) else None)


class capture:
    """`with capture(model) as trace: model(...)`, then `trace.save(path)`.

    `weights`: the checkpoint's folder, whose hash the trace carries; by default the one that the model was loaded from.
    Each call that does not go on with the cache of an earlier one starts new sequences, one for each row of its batch."""

    def __init__(self, model, weights=None):
        self._model = model
        self._base = getattr(model, "model", model)
        if getattr(getattr(model, "config", None), "model_type", None) != "qwen2" or not hasattr(self._base, "layers"):
            raise CaptureError(f"{type(model).__name__} is no Qwen2 of Hugging Face's")
        self._trace = new_trace(model, weights)
        kinds = {getattr(layer.self_attn, "layer_type", None) for layer in self._base.layers}
        self._both_kinds = len(kinds) > 1
        self._sequences = Sequences()
        self._rows = []
        self._layer = None  # number of the layer whose attention is running
        self._kept = 0  # last rows that the head is asked for; 0: all
        self._undo = []

    def __enter__(self):
        try:
            self._hook_model()
            for number, layer in enumerate(self._base.layers):
                self._hook_layer(f"model.layers.{number}.", number, layer)
            self._wrap_functions()
        except BaseException:
            self.__exit__()
            raise
        return self._trace

    def __exit__(self, *_):
        while self._undo:
            self._undo.pop()()
        self._rows = []

    # What is hooked

    def _after(self, module, act):
        self._undo.append(module.register_forward_hook(
            lambda module, args, kwargs, output: act(args, kwargs, output), with_kwargs=True).remove)

    def _before(self, module, act):
        self._undo.append(module.register_forward_pre_hook(
            lambda module, args, kwargs: act(args, kwargs), with_kwargs=True).remove)

    def _record_output(self, module, name):
        self._after(module, lambda args, kwargs, output: self._record(name, output[0] if isinstance(output, tuple) else output))

    def _hook_model(self):
        base, model = self._base, self._model
        self._before(base, self._begin)
        self._after(base, self._end)
        self._before(base.embed_tokens, lambda args, kwargs: self._record("input_ids", argument(["input"], "input", args, kwargs)))
        self._before(base.rotary_emb, lambda args, kwargs: self._record(
            "position_ids", argument(["x", "position_ids"], "position_ids", args, kwargs)))
        self._after(base.rotary_emb, lambda args, kwargs, output: self._cos_sin(*output))
        self._record_output(base.embed_tokens, "model.embed_tokens")
        self._record_output(base.norm, "model.norm")
        if hasattr(model, "lm_head"):
            self._before(model, self._begin_outer)
            self._after(model.lm_head, lambda args, kwargs, output: self._logits(output))

    def _hook_layer(self, prefix, number, layer):
        def running(value):
            self._layer = value

        modules = dict(layer.named_modules())
        for path in (path for path in OUTPUTS if path in modules):
            self._record_output(modules[path], prefix + path)
        for path in (path for path in INPUTS if path in modules):
            name = prefix + INPUTS[path]
            self._before(modules[path], lambda args, kwargs, name=name: self._record(name, args[0] if args else None))
        self._before(layer.self_attn, lambda args, kwargs: running(number))
        self._after(layer.self_attn, lambda args, kwargs, output: running(None))
        self._record_output(layer, prefix + "mlp_residual")

    def _wrap_functions(self):
        names = type(self._base.layers[0].self_attn).forward.__globals__
        for name, wrap in {"apply_rotary_pos_emb": self._wrapped_rotation,
                           "ALL_ATTENTION_FUNCTIONS": lambda table: Interfaces(table, self._attention)}.items():
            if name in names:
                original = names[name]
                names[name] = wrap(original)
                self._undo.append(lambda name=name, original=original: names.update({name: original}))

    # What is recorded

    def _record(self, name, tensor):
        """Rows of tokens of [batch or 1, T, ...]."""
        if tensor is None:
            return
        for row in self._rows:
            self._trace.add(row.prefix + name, row.of(tensor)[row.tokens.to(tensor.device)])

    def _begin_outer(self, args, kwargs):
        self._kept = kwargs.get("logits_to_keep", 0)

    def _begin(self, args, kwargs):
        ids, embeddings = argument(CALL, "input_ids", args, kwargs), argument(CALL, "inputs_embeds", args, kwargs)
        batch, width = (ids if ids is not None else embeddings).shape[:2]
        cache = argument(CALL, "past_key_values", args, kwargs)
        mask = argument(CALL, "attention_mask", args, kwargs)
        self._rows, starts_filled = self._sequences.begin(cache, batch, width, mask)
        if starts_filled:
            self._initial(cache)

    def _end(self, args, kwargs, output):
        given = argument(CALL, "past_key_values", args, kwargs)
        self._sequences.end(given if given is not None else getattr(output, "past_key_values", None))

    def _initial(self, cache):
        """A cache that was filled before the capture began."""
        for number, layer in enumerate(cache.layers):
            for row in self._rows:
                before = row.columns[row.columns < row.past]
                if layer.keys.shape[-2] < row.past:
                    raise CaptureError("the cache was filled, and has lost tokens, before the capture began")
                for name, tensor in (("key", layer.keys), ("value", layer.values)):
                    rows = row.of(tensor).transpose(0, 1)[before.to(tensor.device)]  # [tokens, kv_heads, head_dim]
                    self._trace.add(f"seq.{row.sequence}/initial/past_key_values.{number}.{name}", rows)

    def _cos_sin(self, cos, sin):
        self._record("model.rotary_emb.cos", cos)
        self._record("model.rotary_emb.sin", sin)
        for row in self._rows:
            self._trace.add(row.prefix + "model.rotary_emb.inv_freq", self._base.rotary_emb.inv_freq.float())

    def _logits(self, logits):
        """[batch, last rows, vocab]: those of them that are tokens'."""
        rows = logits.shape[1]
        for row in self._rows:
            if rows != row.width and not isinstance(self._kept, int):
                continue  # rows picked by number: not the last ones
            tokens = row.tokens[row.tokens >= row.width - rows] - (row.width - rows)
            if len(tokens):
                self._trace.add(row.prefix + "lm_head", row.of(logits)[tokens.to(logits.device)])

    def _wrapped_rotation(self, rotate):
        def observed(*args, **kwargs):
            rotated = rotate(*args, **kwargs)
            if self._layer is not None:
                for name, tensor in zip(("q_rope", "k_rope"), rotated):  # [batch, heads, T, head_dim]
                    self._record(f"model.layers.{self._layer}.self_attn.{name}", tensor.transpose(1, 2))
            return rotated
        return observed

    def _attention(self, function, *args, **kwargs):
        """Called by the model in place of its attention function (module, query, key, value, attention_mask, ...)."""
        names = ["module", "query", "key", "value", "attention_mask"]
        module, query, key, value, mask = (argument(names, name, args, kwargs) for name in names)
        with Watch(mask) as watch:
            result = function(*args, **kwargs)
        if self._layer is not None:
            self._mask(allowed_keys(mask, watch, query.shape[2], key.shape[2]), getattr(module, "layer_type", None))
            self._cache(key, value)
            probs = result[1] if isinstance(result, tuple) and len(result) > 1 else None
            shape = (*query.shape[:3], key.shape[2])
            for name, tensor in (("scores", watch.scores), ("probs", probs)):
                for row in self._rows if tensor is not None and tensor.shape == shape else []:
                    probe = f"{row.prefix}model.layers.{self._layer}.self_attn.{name}"
                    self._trace.add(probe, key_columns(row, row.of(tensor)))
        return result

    def _mask(self, allowed, kind):
        name = f"attention_mask.{str(kind).removesuffix('_attention')}" if self._both_kinds else "attention_mask"
        for row in self._rows if allowed is not None else []:
            if row.prefix + name not in self._trace.tensors:  # layers of one kind have one mask
                self._trace.add(row.prefix + name, key_columns(row, row.of(allowed)))

    def _cache(self, key, value):
        """[batch, kv_heads, slots, head_dim] that attention reads."""
        for row in self._rows:
            columns, lost = row.keys(key.shape[2])
            for name, tensor in (("key", key), ("value", value)):
                probe = f"past_key_values.{self._layer}.{name}"
                rows = row.of(tensor).transpose(0, 1)[columns.to(tensor.device)].detach().cpu()
                if lost:  # a sliding cache keeps its window alone; what it dropped stands as it was, and the mask hides it
                    rows = torch.cat([self._trace.tensors[row.before + probe][:lost], rows])
                self._trace.add(row.prefix + probe, rows)
