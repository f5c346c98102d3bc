#!/usr/bin/env python3
"""The native tokenizer beside others: encoding, decoding and loading, one thread each, in turns on the same text with equal ids.

    bench/tokenizer_pairs.py --model DIR [--build build] [--rounds 5] [--megabytes 8] [--quick] [--check]

Python has the peers: tiktoken, tokenizers, quicktok-v1 and bpe-qwen of PyPI, each left out by name where it is not installed. DIR has
tokenizer.json and, for bpe-qwen, vocab.json and merges.txt. Every slice of the text goes to the native tokenizer (build/tokenizer_worker)
and to every peer right after it, or the other way round; a figure is the median of these ratios of times, with their quartiles. Peers
take and give what Python's do, str and lists. Of wall and of processor time both are told: where the machine does other work
too, the second says more, and is what is judged. --check: exit status 1 where a peer that is judged gives
other ids, or where on mixed text encoding is below 4 x
tiktoken or 6 x tokenizers, decoding below 4 x tokenizers, loading slower than tokenizers, or a byte of 100 MB dearer than 1.25 x one of
1 MB. --quick leaves out 100 MB, and cannot check that.
"""
import argparse
import array
import hashlib
import os
import pathlib
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")  # before the peers are loaded

import tokenizer_peers  # noqa: E402
import tokenizer_texts  # noqa: E402

LEAST = {("encode", "tiktoken"): 4, ("encode", "tokenizers"): 6, ("decode", "tokenizers"): 4, ("load", "tokenizers"): 1}
JUDGED = {peer for _, peer in LEAST}
MOST_PER_BYTE = 1.25
SLICE = 1 << 21


class Native:
    """build/tokenizer_worker; times are pairs of wall and processor seconds."""

    def __init__(self, options, folder):
        self.folder = folder
        self.process = subprocess.Popen([options.build / "tokenizer_worker", "--model", options.model], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"tokenizer_pairs: the worker failed at: {' '.join(map(str, words))}")
        return (float(answer[0]), float(answer[1])), int(answer[2])

    def text(self, raw):
        path = self.folder / "text"
        path.write_bytes(raw)
        self.ask("text", path)

    def ids(self):
        self.ask("ids", self.folder / "ids")
        return array.array("i", (self.folder / "ids").read_bytes()).tolist()


def timed(call, *arguments):
    wall, processor = time.perf_counter(), time.process_time()
    result = call(*arguments)
    processor = time.process_time() - processor
    return (time.perf_counter() - wall, processor), result


def slices(text):
    """(text, offset in bytes, length in bytes): equal parts of about SLICE bytes."""
    begin, count = 0, max(1, round(len(text.encode()) / SLICE))
    for at in range(0, len(text), step := -(-len(text) // count)):
        part = text[at:at + step]
        yield part, begin, len(part.encode())
        begin += len(part.encode())


class Figures:
    """By work and peer: the ratios of both times, and what both sides took in all."""

    def __init__(self):
        self.ratios, self.missed = {}, []

    def add(self, key, ours, theirs, size):
        entry = self.ratios.setdefault(key, ([], [], [], []))
        for into, value in zip(entry, (theirs[0] / ours[0], theirs[1] / max(ours[1], 1e-6), size / ours[1] / 1e6, size / theirs[1] / 1e6)):
            into.append(value)

    def show(self, key, unit="MB/s"):
        work, peer, text = key
        wall, processor, ours, theirs = (sorted(values) for values in self.ratios[key])

        def told(values):
            return f"{statistics.median(values):6.2f} ({values[len(values) // 4]:.2f}-{values[-1 - len(values) // 4]:.2f})"
        least = LEAST.get((work, peer)) if text in ("mixed", "") else None
        reached = least is None or statistics.median(processor) >= least
        if not reached:
            self.missed.append(f"{work} {peer}")
        print(f"{work:<7}{text:<12}{peer:<12} x {told(processor):<24} wall x {told(wall):<24} {statistics.median(ours):7.1f} and "
              f"{statistics.median(theirs):5.1f} {unit}, {len(wall)} pairs" + ("" if least is None else f"; at least {least}")
              + ("" if reached else ", MISSED"), flush=True)


def measure_text(native, peers, figures, name, text, rounds):
    """Encoding and decoding of one text by everyone who gives the ids that native gives."""
    native.text(text.encode())
    agreeing = []
    for part, begin, length in slices(text):
        native.ask("encode", begin, length)
        ids = native.ids()
        agreeing.append({peer.name for peer in peers if peer.ids(peer.encode(part)) == ids})
    for peer in peers:
        if any(peer.name not in names for names in agreeing):
            print(f"        {name:<12}{peer.name:<12} OTHER IDS: left out", flush=True)
            if peer.name in JUDGED:
                figures.missed.append(f"ids of {peer.name} on {name}")
    same = [peer for peer in peers if all(peer.name in names for names in agreeing)]
    for number in range(rounds):
        for part, begin, length in slices(text):
            for peer in same:
                encode_first = [lambda: native.ask("encode", begin, length)[0], lambda: timed(peer.encode, part)]
                ours, theirs = in_turn(number, *encode_first)
                figures.add(("encode", peer.name, name), ours, theirs[0], length)
                if name == "mixed" and hasattr(peer, "decode"):
                    ids = peer.ids(theirs[1])
                    ours, theirs = in_turn(number, lambda: native.ask("decode")[0], lambda: timed(peer.decode, ids))
                    figures.add(("decode", peer.name, name), ours, theirs[0], length)
    for work in ("encode", "decode"):
        for peer in same:
            if (work, peer.name, name) in figures.ratios:
                figures.show((work, peer.name, name))


def in_turn(number, first, second):
    """What both give; every other time the second goes first."""
    if number % 2 == 0:
        return first(), second()
    theirs = second()
    return first(), theirs


def measure_loading(native, peers, figures, options):
    size = (options.model / "tokenizer.json").stat().st_size
    for peer in (peer for peer in peers if hasattr(peer, "load")):
        for number in range(2 * options.rounds):
            ours, theirs = in_turn(number, lambda: native.ask("load")[0], lambda: timed(peer.load))
            figures.add(("load", peer.name, ""), ours, theirs[0], size)
        figures.show(("load", peer.name, ""))


def nanoseconds(native, begin, length, repeats):
    """Of processor time, a byte: the least of some."""
    return min(native.ask("encode", begin, length)[0][1] for _ in range(repeats)) / length * 1e9


def measure_length(native, figures, text, options):
    """A byte's cost at each length. 1 MB is the mean of the first eight, so that all lengths are of the same text."""
    raw, million = text.encode(), 1_000_000
    lengths = [10] if options.quick else [10, 100]
    native.text((raw * (lengths[-1] * million // len(raw) + 1))[:lengths[-1] * million].decode(errors="ignore").encode())
    starts = [cut(raw, 0, n * million) for n in range(8)]
    native.ask("encode", 0, 4 * million)
    cost = {1: statistics.mean(nanoseconds(native, start, cut(raw, start, million), 3) for start in starts)}
    for length in lengths:
        cost[length] = nanoseconds(native, 0, cut(raw, 0, length * million), 3)
    growth = cost[lengths[-1]] / cost[1]
    reached = growth <= MOST_PER_BYTE
    if not reached:
        figures.missed.append("the cost of a byte")
    print("length  mixed: " + ", ".join(f"{length} MB {value:.2f} ns a byte" for length, value in cost.items())
          + f"; {growth:.2f} x, at most {MOST_PER_BYTE}" + ("" if reached else ", MISSED"), flush=True)
    rng = random.Random("plumbline: words")
    for name, letters in (("random letters", string.ascii_lowercase), ("one letter", "a")):
        native.text("".join(rng.choices(letters, k=1 << 20)).encode())
        cost = [nanoseconds(native, 0, 1 << power, 3) for power in (17, 18, 19, 20)]
        print(f"length  a word of {name}, 1/8 to 1 MiB: " + ", ".join(f"{value:.1f}" for value in cost) + " ns a byte", flush=True)


def cut(raw, begin, length):
    """`length`, or less so that no character is cut; the text repeats behind its end."""
    while (raw[(begin + length) % len(raw)] & 0xC0) == 0x80:
        length -= 1
    return length


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=8, help="of mixed text")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def main(options):
    peers, missing = tokenizer_peers.installed(options.model)
    for line in missing:
        print(line)
    by_kind = tokenizer_texts.sources(tokenizer_texts.token_bytes(options.model))
    mixed = tokenizer_texts.mixed_text(by_kind, options.megabytes << 20)
    texts = {kind: tokenizer_texts.kind_text(by_kind[kind], 1 << 20) for kind in ("English", "code", "Chinese", "Russian")}
    texts["digits"] = tokenizer_texts.digits(1 << 20)
    print(f"mixed text: {len(mixed.encode())} bytes, SHA-256 {hashlib.sha256(mixed.encode()).hexdigest()[:16]}; speed is native's over the "
          f"peer's, by processor time and by wall time: median and quartiles; load {os.getloadavg()[0]:.1f}", flush=True)
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        native = Native(options, pathlib.Path(folder))
        measure_loading(native, peers, figures, options)
        for name, text in {"mixed": mixed, **texts}.items():
            measure_text(native, peers, figures, name, text, options.rounds)
        measure_length(native, figures, mixed, options)
    judged = {(work, name) for work, name, _ in figures.ratios}
    for work, name in LEAST:
        if (work, name) not in judged:
            figures.missed.append(f"{work} {name} (not measured)")
    print("missed: " + ", ".join(figures.missed) if figures.missed else "every figure is reached", f"; load {os.getloadavg()[0]:.1f}", sep="")
    return 1 if options.check and figures.missed else 0


if __name__ == "__main__":
    sys.exit(main(arguments()))
