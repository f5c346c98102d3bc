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
from capture.options import Parser, stop


def arguments():
    parser = Parser("Records Hugging Face's Qwen2 as a trace file for plumbline judge.")
    parser.add_argument("--dtype", default="f32", choices=["f32", "f64", "bf16", "f16"])
    parser.add_argument("--attention", default="eager", choices=["eager", "sdpa"], help="sdpa shows neither scores nor probs")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--pad", choices=["left", "right"], help="run all of FILE as one batch, padded so; pads are cut off")
    return parser.parse()


def main():
    options = arguments()
    try:
        import torch
        from capture import CaptureError, capture
        from capture.checkpoint import check_ids
        from capture.run import greedy, load_model, tokenize
    except ImportError as error:
        stop(f"{error}: torch, transformers and safetensors are needed")
    if options.device == "cuda" and not torch.cuda.is_available():
        stop("--device cuda: no such device here")
    try:
        model = load_model(options.model, options.dtype, options.attention, options.device)
        sequences = [options.ids] if options.ids is not None else tokenize(options.model, options.texts)
        check_ids(sequences, model.config.vocab_size)
        batches = [sequences] if options.pad else [[tokens] for tokens in sequences]
        with capture(model, weights=options.model) as trace:
            for batch in batches:
                greedy(model, batch, options.steps, options.pad or "left")
        trace.save(options.output)
    except CaptureError as error:
        stop(error)


if __name__ == "__main__":
    main()
