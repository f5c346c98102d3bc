#!/usr/bin/env python3
"""Records what llama.cpp computes of a Qwen2 checkpoint, as a trace file that `plumbline judge` reads (docs/trace-format.md).

    tools/capture_llamacpp.py --model DIR --prompt 'The quick brown' --steps 4 -o llamacpp.safetensors
    build/plumbline judge llamacpp.safetensors --model DIR

The checkpoint is converted to a GGUF file in f32, and run on the CPU in f32: no flash attention, no half types in the cache.
Needs llama-cpp-python, gguf, safetensors and numpy; installs nothing. Exit status 2, and one line, for bad input.
"""
import contextlib
import tempfile
from pathlib import Path

from capture.checkpoint import check_ids, first_line, read_config
from capture.errors import CaptureError
from capture.gguf_config import has_tokenizer, parameters
from capture.options import Parser, stop
from capture.trace import hash_of


def arguments():
    parser = Parser("Records llama.cpp on a Qwen2 checkpoint as a trace file for plumbline judge.")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of llama.cpp (default 1)")
    parser.add_argument("--ubatch", type=int, default=0, metavar="N", help="tokens that it takes at a time (n_ubatch; default all)")
    parser.add_argument("--gguf", metavar="FILE", help="keep the converted checkpoint here; run this file where there is one")
    options = parser.parse()
    if options.threads < 1:
        stop("--threads: one at least")
    if options.ubatch < 0:
        stop("--ubatch: a number of tokens, or 0 for all")
    return options


@contextlib.contextmanager
def gguf_of(options, config, weight_hash):
    """The path of the checkpoint's GGUF: as found, or converted now; without --gguf it is gone afterwards."""
    from capture.gguf_file import check_reused, convert, identity
    made_of = identity(options.model, weight_hash)
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        path = Path(options.gguf or Path(folder) / "model.gguf")
        if path.exists():
            check_reused(path, made_of)
        else:
            convert(options.model, config, path, made_of)
        yield path


def check_packages():
    """One line for the first one that is missing."""
    for module, package in (("numpy", "numpy"), ("safetensors", "safetensors"), ("gguf", "gguf"), ("llama_cpp", "llama-cpp-python")):
        try:
            __import__(module)
        except Exception as error:  # a library that is there and does not load: classes of its loader's
            stop(f"{module} cannot be loaded ({first_line(error)}): pip install {package}")


def record(options, config, values):
    """The trace of what the options ask for."""
    from capture.llamacpp import Llama, new_trace
    trace = new_trace(hash_of(options.model))
    with gguf_of(options, config, trace.metadata["weight_hash"]) as path, Llama(path) as llama:
        sequences = [options.ids] if options.ids is not None else llama.tokenize(options.texts)
        check_ids(sequences, llama.vocab_size)
        betas = tuple(values.get(f"rope.scaling.yarn_beta_{which}", -1.0) for which in ("fast", "slow"))
        llama.record(trace, sequences, options.steps, options.threads, options.ubatch, betas)
    return trace


def main():
    options = arguments()
    try:
        config = read_config(options.model)
        values = parameters(config, Path(options.model) / "config.json")
        if options.ids is None and not has_tokenizer(options.model):
            stop(f"{options.model}: has no tokenizer.json; give --tokens")
        check_packages()
        record(options, config, values).save(options.output)
    except CaptureError as error:
        stop(error)


if __name__ == "__main__":
    main()
