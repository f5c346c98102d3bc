#!/usr/bin/env python3
"""LibTorch's speed on the GPU by transformers, for bench/cuda_bench: eager kernels (no torch.compile), bf16, a static
cache, a plain loop that takes the most likely token and reads its id back. Prints two lines.

    cuda_peer.py --model DIR

Like cuda_bench, it has not yet been run on a device.
"""
import argparse
import statistics
import sys
import time


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def tell(what, rates):
    low, middle, high = quartiles(rates)
    print(f"{what}: {middle:.1f} tokens/s (median of {len(rates)}, quartiles {low:.1f}-{high:.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--prefill", type=int, default=2048)
    options = parser.parse_args()
    try:
        import torch
        from transformers import Qwen2ForCausalLM, StaticCache
    except ImportError as error:
        sys.exit(f"cuda_peer.py: {error}")
    if not torch.cuda.is_available():
        print("cuda_peer.py: torch sees no CUDA device", file=sys.stderr)
        sys.exit(3)
    model = Qwen2ForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16, attn_implementation="sdpa").to("cuda")
    model.eval()
    vocab = model.config.vocab_size

    def tokens_of(length):
        return torch.tensor([[(i * 7919 + 13) % vocab for i in range(length)]], device="cuda")

    def feed(ids, cache, past):
        places = torch.arange(past, past + ids.shape[1], device="cuda")
        return model(input_ids=ids, position_ids=places[None], cache_position=places, past_key_values=cache,
                     use_cache=True, logits_to_keep=1).logits[:, -1]

    def prefill_rate():
        ids = tokens_of(options.prefill)
        cache = StaticCache(config=model.config, max_cache_len=options.prefill + options.decode)
        torch.cuda.synchronize()
        start = time.perf_counter()
        feed(ids, cache, 0)
        torch.cuda.synchronize()
        return options.prefill / (time.perf_counter() - start)

    def decode_rate():
        cache = StaticCache(config=model.config, max_cache_len=options.prompt + options.decode)
        chosen = feed(tokens_of(options.prompt), cache, 0).argmax(-1)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(options.decode):
            chosen = feed(chosen[:, None], cache, options.prompt + i).argmax(-1)
            chosen.item()  # a generator looks at each token before it goes on
        return options.decode / (time.perf_counter() - start)

    with torch.inference_mode():
        for name, rate in (("decode", decode_rate), ("prefill", prefill_rate)):
            rate()
            tell(f"{name}, torch {torch.__version__}", [rate() for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
