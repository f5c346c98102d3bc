#!/usr/bin/env python3
"""What two ranks save: the time in which one process judges a trace, over that in which two judge it and merge their parts.

    bench/ranks.py --model DIR [--build build] [--tokens 512] [--rounds 5] [--stream] [--check]

Every process judges on one thread; a layer at a time with --stream. The two times of a round follow each other, so that what
else the machine does weighs on both alike; the figure is the median of the rounds' ratios. Where the cores are not idle that says
little, and the processor time of the one against that of the busier rank and the merge stands beside it; each round is told on
standard error, with the machine's load before it (of the last minute, as uptime has it). --check: exit status 1 where the figure
is below 1.7, or a report is not the same.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

LEAST = 1.7
RANKS = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def main(options):
    plumbline = options.build.resolve() / "plumbline"
    model = options.model.resolve()
    with tempfile.TemporaryDirectory() as folder:
        def begin(*words):
            # In a session of its own: two of one session may get the time of one where a machine is busy.
            return subprocess.Popen([str(word) for word in (plumbline, *words)], cwd=folder, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, start_new_session=True)

        def must(process):
            """The processor time that it took."""
            _, status, usage = os.wait4(process.pid, 0)
            if status != 0:
                sys.exit(f"failed: {' '.join(process.args)}")
            return usage.ru_utime + usage.ru_stime

        def judge(*words):
            return begin("judge", "t.safetensors", "--model", model, "--threads", 1, *(["--stream"] * options.stream), *words)

        def alone():
            return must(judge("--report-dir", "whole"))

        def together():
            ranks = [judge("--rank", rank, "--ranks", RANKS, "--part", f"part.{rank}.json") for rank in range(RANKS)]
            longest = max([must(process) for process in ranks])
            return longest + must(begin("merge", *(f"part.{rank}.json" for rank in range(RANKS)), "--report-dir", "merged"))

        def seconds(work):
            started = time.monotonic()
            processor = work()
            return time.monotonic() - started, processor

        must(begin("trace", "--model", model, "--tokens", ",".join(str(7 * i + 1) for i in range(options.tokens)), "-o", "t.safetensors"))
        alone()  # unmeasured: the files are in the page cache then
        rounds = []
        for _ in range(options.rounds):
            load = os.getloadavg()[0]
            rounds.append((seconds(alone), seconds(together)))
            (one, one_processor), (two, two_processor) = rounds[-1]
            print(f"{one:.1f} s alone, {two:.1f} s together: {one / two:.2f} x; {one_processor:.1f} s and {two_processor:.1f} s of "
                  f"processors; load {load:.1f}", file=sys.stderr, flush=True)
        pages = [(pathlib.Path(folder) / name / "judge.md").read_text() for name in ("whole", "merged")]
    ratios = sorted(one[0] / two[0] for one, two in rounds)
    processor = statistics.median(one[1] / two[1] for one, two in rounds)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    middle = statistics.median(ratios)
    print(f"two ranks judge {options.tokens} tokens {middle:.2f} x as fast as one (median of {len(ratios)}, quartiles {low:.2f}-{high:.2f}; "
          f"at least {LEAST}), {processor:.2f} x by processor time: {statistics.median(one[0] for one, _ in rounds):.1f} s alone, "
          f"{statistics.median(two[0] for _, two in rounds):.1f} s together; reports {'equal' if pages[0] == pages[1] else 'DIFFER'}")
    return 1 if options.check and not (middle >= LEAST and pages[0] == pages[1]) else 0


if __name__ == "__main__":
    sys.exit(main(arguments()))
