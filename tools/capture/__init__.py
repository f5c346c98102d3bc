"""What a Hugging Face Qwen2 computed, as a trace file: see ../capture_hf.py, and docs/judge-your-engine.md."""
from capture.errors import CaptureError
from capture.hooks import capture
from capture.trace import Trace
from capture.weight_hash import weight_hash

__all__ = ["CaptureError", "Trace", "capture", "weight_hash"]
