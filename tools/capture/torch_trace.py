"""A trace of torch's tensors, for a model of transformers'."""
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from capture.errors import CaptureError
from capture.trace import Trace, hash_of
from capture.weight_hash import weight_files

DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16"}


class TorchTrace(Trace):
    """Tensors, on the CPU."""

    _save_file = staticmethod(save_file)

    @staticmethod
    def _kept(tensor):
        return tensor.detach().to("cpu", copy=True).contiguous()


def new_trace(model, weights):
    """An empty trace of a model; `weights` is its checkpoint's folder, or None for the one it was loaded from."""
    folder = Path(weights if weights is not None else getattr(model, "name_or_path", "") or "")
    stored = str(folder) != "." and folder.is_dir() and bool(weight_files(folder))
    digest = hash_of(folder) if stored or weights is not None else ""
    device = model.device.type
    if device not in ("cpu", "cuda"):
        raise CaptureError(f"a model on '{device}': a trace's device is cpu or cuda")
    if model.dtype not in DTYPES:
        raise CaptureError(f"a model in {model.dtype}: a trace is in one of {', '.join(DTYPES.values())}")
    attention = model.config._attn_implementation
    trace = TorchTrace(f"transformers {transformers.__version__} {attention}", DTYPES[model.dtype], device, digest)
    trace.metadata.update(precision(DTYPES[model.dtype], attention))
    return trace


def precision(dtype, attention):
    """What transformers' Qwen2 keeps in which dtype: all in its own, after each operation, but the scores within a fused
    attention, which LibTorch keeps in f32 beside weights in a half type."""
    fused = attention != "eager" and dtype in ("bf16", "f16")
    return {"rotary_dtype": dtype, "scores_dtype": "f32" if fused else dtype, "probs_dtype": dtype, "rounding": "each"}
