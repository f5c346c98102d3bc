"""Hugging Face's generate() as bench/generation_pairs' peer: greedy, f32, with its cache.

    python bench/peers/hf_generate.py MODEL THREADS

Says "ready VERSIONS", or "absent REASON" where there is no transformers. Then, for each line "COUNT ID ID ..." of
its input, continues the ids by COUNT tokens and says "SECONDS PEAK ID ...": the seconds from the first new token to
the last, the most memory that the process had (bytes), and the new tokens.
"""
import os
import resource
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is local

# Whatever a library prints does not belong between the lines.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(line):
    print(line, file=ANSWERS, flush=True)


try:
    import torch
    import transformers
except ImportError as problem:
    say(f"absent {problem} ({sys.executable})")
    sys.exit(0)


class Clock(transformers.generation.streamers.BaseStreamer):
    """When each new token was there; generate() hands over the prompt first."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def load(directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    # No end token: every run is as long as asked for.
    model.generation_config = transformers.GenerationConfig(do_sample=False, use_cache=True, pad_token_id=0)
    return model.eval()


def answer(model, count, prompt):
    ids = torch.tensor([prompt])
    clock = Clock()
    with torch.inference_mode():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, streamer=clock)
    seconds = clock.times[-1] - clock.times[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return f"{seconds} {peak} " + " ".join(str(token) for token in output[0, len(prompt):].tolist())


def main():
    directory, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = load(directory)
    say(f"ready transformers {transformers.__version__}, torch {torch.__version__}")
    for line in sys.stdin:
        count, *prompt = map(int, line.split())
        say(answer(model, count, prompt))


main()
