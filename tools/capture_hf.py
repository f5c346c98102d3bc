#!/usr/bin/env python3
"""Records what Hugging Face's Qwen2 computes, as a trace file that `plumbline judge` reads (docs/trace-format.md).

    tools/capture_hf.py --model DIR --prompt 'The quick brown' --steps 4 --attention eager -o hf.safetensors
    build/plumbline judge hf.safetensors --model DIR

In a program, with this folder on Python's path, for a model that was changed or made there:

    from capture import capture
    with capture(model) as trace:
        model(input_ids)
    trace.save("hf.safetensors")

Needs torch, transformers and safetensors; installs nothing. Exit status 2, and one line, for bad input.
"""
import argparse
import sys
from pathlib import Path


class Parser(argparse.ArgumentParser):
    def error(self, message):
        stop(message)


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def arguments():
    parser = Parser(description="Records Hugging Face's Qwen2 as a trace file for plumbline judge.")
    parser.add_argument("--model", required=True, metavar="DIR", help="checkpoint folder")
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--prompt", metavar="T", help="a text to run")
    text.add_argument("--tokens", metavar="1,2,3", help="token ids to run")
    text.add_argument("--prompts", metavar="FILE", help="a text on each line, each a sequence of its own")
    parser.add_argument("--steps", type=int, default=1, metavar="N", help="forward calls: the prefill, then greedy decode steps")
    parser.add_argument("--dtype", default="f32", choices=["f32", "f64", "bf16", "f16"])
    parser.add_argument("--attention", default="eager", choices=["eager", "sdpa"], help="sdpa shows neither scores nor probs")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--pad", choices=["left", "right"], help="run all of FILE as one batch, padded so; pads are cut off")
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    return parser.parse_args()


def read_prompts(path):
    try:
        lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        stop(f"{path}: cannot be read ({error})")
    return lines or stop(f"{path}: has no prompts")


def read_ids(text):
    try:
        return [int(token) for token in text.split(",")]
    except ValueError:
        stop(f"--tokens {text}: ids with commas between them are wanted, as in 1,2,3")


def main():
    options = arguments()
    if options.steps < 1:
        stop("--steps: one forward call at least")
    if not Path(options.output).absolute().parent.is_dir():
        stop(f"{options.output}: no such folder")
    try:
        import torch
        from capture import CaptureError, capture
        from capture.run import check_ids, greedy, load_model, tokenize
    except ImportError as error:
        stop(f"{error}: torch, transformers and safetensors are needed")
    if options.device == "cuda" and not torch.cuda.is_available():
        stop("--device cuda: no such device here")
    try:
        prompts = read_prompts(options.prompts) if options.prompts else [options.prompt]
        model = load_model(options.model, options.dtype, options.attention, options.device)
        sequences = [read_ids(options.tokens)] if options.tokens is not None else tokenize(options.model, prompts)
        check_ids(sequences, model)
        batches = [sequences] if options.pad else [[tokens] for tokens in sequences]
        with capture(model, weights=options.model) as trace:
            for batch in batches:
                greedy(model, batch, options.steps, options.pad or "left")
        trace.save(options.output)
    except CaptureError as error:
        stop(error)


if __name__ == "__main__":
    main()
