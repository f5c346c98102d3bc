"""What the command lines of the capture_* tools share."""
import argparse
import sys
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """A checkpoint, what to run, where the trace goes; the tool adds its own."""

    def __init__(self, description):
        super().__init__(description=description)
        self.add_argument("--model", required=True, metavar="DIR", help="checkpoint folder")
        text = self.add_mutually_exclusive_group(required=True)
        text.add_argument("--prompt", metavar="T", help="a text to run")
        text.add_argument("--tokens", metavar="1,2,3", help="token ids to run")
        text.add_argument("--prompts", metavar="FILE", help="a text on each line, each a sequence of its own")
        self.add_argument("--steps", type=int, default=1, metavar="N", help="forward calls: the prefill, then greedy decode steps")
        self.add_argument("-o", "--output", required=True, metavar="FILE")

    def error(self, message):
        stop(message)

    def parse(self):
        """The options, where they make sense by themselves; `ids` are the tokens to run, or None where they are to be made of `texts`."""
        options = self.parse_args()
        if options.steps < 1:
            stop("--steps: one forward call at least")
        if not Path(options.output).absolute().parent.is_dir():
            stop(f"{options.output}: no such folder")
        options.ids = None if options.tokens is None else read_ids(options.tokens)
        options.texts = read_prompts(options.prompts) if options.prompts else [options.prompt]
        return options


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


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
