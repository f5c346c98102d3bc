"""What llama.cpp's evaluation callback shows of one forward call, as arrays by probe."""
import numpy as np

from capture import ggml
from capture.errors import CaptureError
from capture.ggml_probes import probe_of, values_of
from capture.pieces import join


class Graph:
    """`see` is llama.cpp's callback: asked before each operation whether its result is wanted, and called with it after."""

    def __init__(self, library):
        self._library = library
        self._error = None
        self._past = 0  # tokens in the cache
        self._pieces = []

    def begin(self, past):
        """Before a forward call of a sequence that has `past` tokens in the cache."""
        self._past, self._pieces, self._error = past, [], None

    def end(self):
        """After it: its arrays, the pieces that llama.cpp took it in put together."""
        if isinstance(self._error, CaptureError):
            raise self._error
        if self._error is not None:
            raise CaptureError(f"llama.cpp's graph is not the one known here: {self._error!r}") from self._error
        if not self._pieces:
            raise CaptureError("llama.cpp showed no embedding: its graph of Qwen2 is not the one known here")
        return join(self._pieces)

    def see(self, address, ask, _):
        """True: the value is wanted, or the computation goes on."""
        try:
            tensor = self._library.tensor(address)
            name, op = ggml.name_of(tensor), self._library.op(tensor)
            probe = probe_of(name, op, [ggml.name_of(source) for source in ggml.sources(tensor)])
            layer = values_of(name, op)
            if ask:
                return probe is not None or layer is not None
            if probe is not None:
                self._record(probe, tensor)
            if layer is not None:
                values = ggml.read(tensor.src[0].contents)[0]  # [kv_heads, head_dim, slots]
                self._piece()[f"past_key_values.{layer}.value"] = self._keys(values.transpose(2, 0, 1))
            return True
        except Exception as error:  # none can pass through C
            self._error = self._error or error
            return False

    def _piece(self):
        if not self._pieces:
            raise CaptureError("llama.cpp computed something before the embedding: its graph of Qwen2 is not the one known here")
        return self._pieces[-1]

    def _record(self, probe, tensor):
        sources = ggml.sources(tensor)
        if probe == "model.embed_tokens":
            self._past += len(self._pieces[-1]["input_ids"]) if self._pieces else 0
            self._pieces.append({"input_ids": ggml.read(sources[1]).flatten().astype(np.int64)})
        piece, values = self._piece(), ggml.read(tensor)
        if probe.endswith("_rope"):
            values = values[0]  # [T, heads, head_dim]
            piece.setdefault("position_ids", ggml.read(sources[1]).flatten().astype(np.int64))
        elif probe.endswith(".scores"):
            keys = ggml.read(sources[0])[0]  # [kv_heads, slots, head_dim]
            piece[f"past_key_values.{probe.split('.')[2]}.key"] = self._keys(keys.transpose(1, 0, 2))
            values = self._columns(values[0])  # [heads, T, slots]: products alone, until the softmax tells the scale
        elif probe.endswith(".probs"):
            scores = probe.replace(".probs", ".scores")
            piece[scores] = piece[scores] * ggml.scale_of(tensor)
            piece.setdefault("attention_mask", self._mask(ggml.read(sources[1])))
            values = self._columns(values[0])
        else:
            values = values.reshape(-1, values.shape[-1])
        piece[probe] = values

    def _length(self):
        return self._past + len(self._piece()["input_ids"])

    def _keys(self, slots):
        """The slots of a cache that hold tokens: the first ones, for a sequence begins with an empty cache and is alone in it."""
        return slots[:self._length()]

    def _columns(self, values):
        return values[..., :self._length()]

    def _mask(self, mask):
        """[T, C] of what is added to the scores: 0, or -inf where a key is forbidden."""
        rows = mask.reshape(-1, mask.shape[-1])[:len(self._piece()["input_ids"])]
        if not np.isneginf(rows[:, self._length():]).all():
            raise CaptureError("llama.cpp lets a token see a free slot of the cache, or keeps tokens elsewhere than in its first slots")
        return ~np.isneginf(self._columns(rows))
