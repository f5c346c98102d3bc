"""A trace in memory, and its file (docs/trace-format.md)."""
import os
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from capture.errors import CaptureError
from capture.weight_hash import weight_files, weight_hash

DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16"}


class Trace:
    """Tensors by their names in the format, "seq.I/step.N/" included, on the CPU."""

    def __init__(self, engine, storage_dtype, device, weight_hash=""):
        # Sums of half types are taken in f32 by all of LibTorch's CPU and CUDA products.
        compute_dtype = "f64" if storage_dtype == "f64" else "f32"
        self.tensors = {}
        self.metadata = {"format": "plumbline-trace", "format_version": "1", "engine": engine, "storage_dtype": storage_dtype,
                         "compute_dtype": compute_dtype, "device": device, "weight_hash": weight_hash}

    def add(self, name, tensor):
        """Keeps a copy."""
        if name in self.tensors:
            raise CaptureError(f"{name} was computed twice in one call: no trace can hold that")
        self.tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()

    def save(self, path):
        """Writes the file, whole or not at all."""
        path = Path(path)
        if not self.tensors:
            raise CaptureError(f"{path}: nothing was captured: the model was not called")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            save_file(self.tensors, str(unfinished), metadata=self.metadata)
            os.replace(unfinished, path)
        except Exception as error:  # safetensors has its own class for a full disk
            raise CaptureError(f"{path}: cannot be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)


def new_trace(model, weights):
    """An empty trace of a model; `weights` is its checkpoint's folder, or None for the one it was loaded from."""
    folder = Path(weights if weights is not None else getattr(model, "name_or_path", "") or "")
    stored = weight_files(folder) if str(folder) != "." and folder.is_dir() else []
    if weights is not None and not stored:
        raise CaptureError(f"{weights}: has neither model.safetensors nor model.safetensors.index.json")
    device = model.device.type
    if device not in ("cpu", "cuda"):
        raise CaptureError(f"a model on '{device}': a trace's device is cpu or cuda")
    if model.dtype not in DTYPES:
        raise CaptureError(f"a model in {model.dtype}: a trace is in one of {', '.join(DTYPES.values())}")
    engine = f"transformers {transformers.__version__} {model.config._attn_implementation}"
    return Trace(engine, DTYPES[model.dtype], device, weight_hash(folder) if stored else "")
