"""A trace in memory, and its file (docs/trace-format.md)."""
import os
from pathlib import Path

from capture.errors import CaptureError
from capture.weight_hash import weight_files, weight_hash


class Trace:
    """Arrays by their names in the format, "seq.I/step.N/" included. Of which library they are, a subclass says: `_kept` makes
    the copy that is kept, `_save_file` is that library's of safetensors."""

    def __init__(self, engine, storage_dtype, device, weight_hash=""):
        # Sums of half types are taken in f32 by all of LibTorch's CPU and CUDA products.
        compute_dtype = "f64" if storage_dtype == "f64" else "f32"
        self.tensors = {}
        self.metadata = {"format": "plumbline-trace", "format_version": "1", "engine": engine, "storage_dtype": storage_dtype,
                         "compute_dtype": compute_dtype, "device": device, "weight_hash": weight_hash}

    def add(self, name, array):
        """Keeps a copy."""
        if name in self.tensors:
            raise CaptureError(f"{name} was computed twice in one call: no trace can hold that")
        self.tensors[name] = self._kept(array)

    def save(self, path):
        """Writes the file, whole or not at all."""
        path = Path(path)
        if not self.tensors:
            raise CaptureError(f"{path}: nothing was captured: the model was not called")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._save_file(self.tensors, str(unfinished), metadata=self.metadata)
            os.replace(unfinished, path)
        except Exception as error:  # safetensors has its own class for a full disk
            raise CaptureError(f"{path}: cannot be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)


def hash_of(folder):
    """The weight hash of a checkpoint's folder, which must have weights."""
    if not weight_files(folder):
        raise CaptureError(f"{folder}: has neither model.safetensors nor model.safetensors.index.json")
    return weight_hash(folder)
