"""What a checkpoint's folder must have, whichever engine runs it."""
import json
from pathlib import Path

from capture.errors import CaptureError


def read_config(directory):
    """config.json of a Qwen2, as a dictionary."""
    path = Path(directory) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CaptureError(f"{path}: cannot be read ({first_line(error)})") from error
    if kind != "qwen2":
        raise CaptureError(f"{path}: model_type is {kind!r}, not 'qwen2'")
    return config


def check_ids(sequences, vocab_size):
    for token in (token for tokens in sequences for token in tokens):
        if not 0 <= token < vocab_size:
            raise CaptureError(f"token {token} is not in the vocabulary of {vocab_size}")


def check_not_empty(prompts, ids):
    """Each prompt has tokens."""
    empty = next((prompt for prompt, tokens in zip(prompts, ids) if not tokens), None)
    if empty is not None:
        raise CaptureError(f"the prompt {empty!r} has no tokens")


def first_line(error):
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
