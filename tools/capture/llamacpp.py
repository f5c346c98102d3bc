"""llama.cpp on a GGUF file: sequences run one by one, each with an empty cache, and what the callback shows recorded."""
import ctypes

import llama_cpp
import numpy as np
from llama_cpp._ggml import libggml
from safetensors.numpy import save_file

from capture.checkpoint import check_not_empty
from capture.errors import CaptureError
from capture.ggml import Library
from capture.llamacpp_graph import Graph
from capture.trace import Trace

F32 = 0  # of enum ggml_type
ERROR = 4  # of enum ggml_log_level


errors = []  # that llama.cpp told since a model was loaded


@llama_cpp.llama_log_callback
def heard(level, text, _):
    """Its messages, of which it prints none then. Of the module: it may speak as long as it is loaded."""
    if level == ERROR and text.strip():
        errors.append(text.decode(errors="replace").strip())


def told():
    return errors[0] if errors else "it does not say why"


class NumpyTrace(Trace):
    """Arrays of numpy's."""

    _save_file = staticmethod(save_file)

    @staticmethod
    def _kept(array):
        return np.array(array, order="C")


def new_trace(weight_hash):
    return NumpyTrace(f"llama.cpp (llama-cpp-python {llama_cpp.__version__})", "f32", "cpu", weight_hash)


class Llama:
    """A model, loaded to the CPU. `with Llama(path) as llama:` frees it."""

    def __init__(self, path):
        self._context = self._batch = None
        errors.clear()
        llama_cpp.llama_log_set(heard, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        options.use_extra_bufts = False  # weights as they are in the file
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise CaptureError(f"{path}: llama.cpp cannot load it: {told()}")
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self._vocabulary)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close_context()
        llama_cpp.llama_model_free(self._model)

    def tokenize(self, texts):
        ids = [self._ids(text.encode()) for text in texts]
        check_not_empty(texts, ids)
        return ids

    def _ids(self, text):
        room = len(text) + 8
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocabulary, text, len(text), ids, room, False, True)
        return list(ids[:max(count, 0)])

    def record(self, trace, sequences, steps, threads, piece=0, betas=(-1.0, -1.0)):
        """`steps` forward calls of each list of ids: all of it, then greedy decode steps.

        `piece`: tokens that llama.cpp takes at a time (n_ubatch), 0 for all. `betas`: YaRN's beta_fast and beta_slow,
        which it does not read from a Qwen2's file; -1 for its own."""
        longest = max(map(len, sequences))
        graph = Graph(Library(libggml))
        self._open_context(graph, longest, longest + steps, threads, piece or longest, betas)
        for number, tokens in enumerate(sequences):
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
            past = 0
            for step in range(steps):
                arrays = self._forward(graph, tokens, past)
                for name, array in arrays.items():
                    trace.add(f"seq.{number}/step.{step}/{name}", array)
                past += len(tokens)
                tokens = [int(arrays["lm_head"][-1].argmax())]
        self._close_context()

    def _open_context(self, graph, longest, length, threads, piece, betas):
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = length, longest, piece, 1
        options.n_threads = options.n_threads_batch = threads
        options.flash_attn_type = 0  # disabled: it would cast the cache to f16, and hide scores and probs
        options.type_k = options.type_v = F32
        options.offload_kqv = options.op_offload = False
        options.yarn_beta_fast, options.yarn_beta_slow = betas
        self._callback = llama_cpp.ggml_backend_sched_eval_callback(graph.see)  # kept: C calls it
        options.cb_eval = self._callback
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        if not self._context:
            raise CaptureError(f"llama.cpp makes no context for {length} tokens: {told()}")
        self._batch = llama_cpp.llama_batch_init(longest, 0, 1)

    def _close_context(self):
        if self._batch is not None:
            llama_cpp.llama_batch_free(self._batch)
        if self._context:
            llama_cpp.llama_free(self._context)
        self._context = self._batch = None

    def _forward(self, graph, tokens, past):
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, past + i, 1, 1  # logits of every token
            batch.seq_id[i][0] = 0
        graph.begin(past)
        status = llama_cpp.llama_decode(self._context, batch)
        arrays = graph.end()
        if status != 0:
            raise CaptureError(f"llama.cpp's llama_decode failed with {status}: {told()}")
        return arrays
