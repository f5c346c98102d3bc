"""The identity of a checkpoint's weights, as harness/weight_hash.h defines it."""
import hashlib
import json
import struct
from pathlib import Path

from capture.errors import CaptureError

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, OverflowError, MemoryError)
BLOCK = 1 << 24  # bytes read at a time: no checkpoint need be in memory


def weight_hash(directory):
    """SHA-256 over a line for each stored tensor: name, dtype, shape, SHA-256 of its bytes."""
    lines = [line for path in weight_files(directory) for line in tensor_lines(path)]
    return hashlib.sha256(b"".join(line for _, line in sorted(lines))).hexdigest()


def weight_files(directory):
    """model.safetensors, or the shards that the index names; an empty list where there is neither."""
    directory = Path(directory)
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if not index.exists():
        return []
    try:
        return [directory / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaptureError(f"{index}: not an index of weights ({error})") from error


def tensor_lines(path):
    """(name, line) of each tensor, in bytes."""
    try:
        with path.open("rb") as file:
            start, entries = read_header(file)
            return [(name.encode(), tensor_line(file, start, name, entry)) for name, entry in entries.items()]
    except UNREADABLE as error:
        raise CaptureError(f"{path}: cannot be read as safetensors ({error})") from error


def read_header(file):
    """Where the data of a file begin, and its tensors: by name a dictionary of dtype, shape and data_offsets."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    return 8 + length, {name: entry for name, entry in header.items() if name != "__metadata__"}


def tensor_line(file, start, name, entry):
    begin, end = entry["data_offsets"]
    file.seek(start + begin)
    digest = hashlib.sha256()
    while begin < end:
        block = file.read(min(BLOCK, end - begin))
        if not block:
            raise ValueError(f"{name} ends beyond the file")
        digest.update(block)
        begin += len(block)
    return f"{name} {entry['dtype']} {entry['shape']} {digest.hexdigest()}\n".encode()
