"""What another engine computed, as a trace file: see ../capture_hf.py, ../capture_llamacpp.py, and docs/judge-your-engine.md."""
from capture.errors import CaptureError
from capture.trace import Trace
from capture.weight_hash import weight_hash

__all__ = ["CaptureError", "Trace", "capture", "weight_hash"]


def __getattr__(name):
    """`capture` when it is asked for: it needs torch, which nothing else here does."""
    if name == "capture":
        from capture.hooks import capture
        return capture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
