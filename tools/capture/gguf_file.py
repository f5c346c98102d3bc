"""A checkpoint as the GGUF file that llama.cpp loads, in f32."""
import hashlib
import os
from pathlib import Path

import gguf
import numpy as np

from capture.checkpoint import first_line
from capture.errors import CaptureError
from capture.gguf_config import parameters, tensor_names, vocabulary
from capture.weights import Weights

MADE_OF = "plumbline.made_of"  # key of the identity of what a file was converted from


def identity(directory, weight_hash):
    """Weights, configuration and tokenizer in one hash."""
    digest = hashlib.sha256(weight_hash.encode())
    for name in ("config.json", "tokenizer.json"):
        path = Path(directory) / name
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def check_reused(path, made_of):
    """A file that was converted here before must be of the same checkpoint; anyone else's is taken as it is."""
    try:
        field = gguf.GGUFReader(path).get_field(MADE_OF)
    except Exception as error:  # the reader asserts, indexes and decodes
        raise CaptureError(f"{path}: cannot be read as GGUF ({first_line(error)})") from error
    if field is not None and field.contents() != made_of:
        raise CaptureError(f"{path}: was converted from another checkpoint; remove it, or name another --gguf")


def convert(directory, config, path, made_of):
    """Writes the file, whole or not at all; one weight is in memory at a time."""
    values = parameters(config, Path(directory) / "config.json")
    names, weights = tensor_names(config), Weights(directory)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writer = gguf.GGUFWriter(unfinished, "qwen2")
        writer.add_string(MADE_OF, made_of)
        for key, value in values.items():
            add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
            add(f"qwen2.{key}", value)
        write_vocabulary(writer, *vocabulary(directory, weights.shape("model.embed_tokens.weight")[0]))
        for ours, theirs in names.items():
            shape = weights.shape(theirs)
            writer.add_tensor_info(ours, shape, np.dtype(np.float32), 4 * int(np.prod(shape)))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for theirs in names.values():
            writer.write_tensor_data(np.ascontiguousarray(weights.read(theirs)))
        writer.close()
        os.replace(unfinished, path)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_vocabulary(writer, tokens, kinds, merges):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
