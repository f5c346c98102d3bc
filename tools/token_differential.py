#!/usr/bin/env python3
"""Random texts through the native tokenizer against the reference's and against Hugging Face's `tokenizers`.

    tools/token_differential.py --model DIR [--program build/plumbline-token-differential] [--reference-texts N]
        [--tokenizers-texts N] [--seed N] [--json FILE] [--markdown FILE]

DIR has a tokenizer.json. Texts are drawn by seed and number (bench/random_texts.h): one that differs is made
again by --seed and its number. Texts that hold code points which the reference's libraries know otherwise are not asked of
it, and counted apart; of `tokenizers` all are asked. The record says when, on what commit, and with which versions it was
made. Exit status 0 where all agree, 1 where some text does not, 2 for what cannot be run.
"""
import argparse
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH = 10_000
SHOWN = 20


def commit():
    """What is checked out; "+" where the sources of the tokenizers differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        sources = ["impl", "reference", "bench/random_texts.cpp", "bench/token_differential.cpp"]
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *sources], check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed.returncode else "")


def against_reference(options):
    with tempfile.TemporaryDirectory() as folder:
        counts = pathlib.Path(folder) / "counts.json"
        command = [options.program, "--model", options.model, "--count", str(options.reference_texts), "--seed", str(options.seed),
                   "--json", counts]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if not counts.exists():
            sys.exit(f"token_differential: {options.program} wrote no counts: {ended.stdout.strip()[-300:]}")
        return json.loads(counts.read_text())


def lines_of(options):
    command = [options.program, "--model", options.model, "--count", str(options.tokenizers_texts), "--seed", str(options.seed),
               "--texts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as writer:
        yield from writer.stdout
    if writer.returncode != 0:
        sys.exit(f"token_differential: {options.program} ended with status {writer.returncode}")


def batches(lines):
    batch = []
    for line in lines:
        batch.append(json.loads(line))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def against_tokenizers(options):
    import tokenizers
    peer = tokenizers.Tokenizer.from_file(str(pathlib.Path(options.model) / "tokenizer.json"))
    counts = {"seed": options.seed, "texts": 0, "compared": 0, "mismatches": 0, "first": [], "version": tokenizers.__version__}
    for batch in batches(lines_of(options)):
        for (text, *ids), expected in zip(batch, peer.encode_batch([entry[0] for entry in batch], add_special_tokens=False)):
            counts["texts"] += 1
            counts["compared"] += 1
            if ids == expected.ids:
                continue
            counts["mismatches"] += 1
            if len(counts["first"]) < SHOWN:
                counts["first"].append({"number": counts["texts"] - 1, "code_points": " ".join(f"U+{ord(c):04X}" for c in text),
                                        "parts_at": f"expected {expected.ids}, got {ids}"})
    return counts


def markdown(record):
    lines = ["| native against | seed | texts | compared | not asked | mismatches |", "| --- | --- | --- | --- | --- | --- |"]
    for name, counts in record["runs"].items():
        lines.append(f"| {name} | {counts['seed']} | {counts['texts']} | {counts['compared']} | {counts['texts'] - counts['compared']} "
                     f"| {counts['mismatches']} |")
    lines.append("")
    lines.append(f"Recorded {record['date']} on commit {record['commit'][:12]}, vocabulary {record['tokenizer_sha256'][:12]}.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder with a tokenizer.json")
    parser.add_argument("--program", default=str(ROOT / "build" / "plumbline-token-differential"))
    parser.add_argument("--reference-texts", type=int, default=11_200_000, help="0: not against the reference")
    parser.add_argument("--tokenizers-texts", type=int, default=1_000_000, help="0: not against tokenizers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    options = parser.parse_args()
    tokenizer = pathlib.Path(options.model) / "tokenizer.json"
    if not tokenizer.exists():
        print(f"token_differential: {tokenizer}: no such file", file=sys.stderr)
        return 2
    record = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "commit": commit(),
              "tokenizer_sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(), "runs": {}}
    if options.reference_texts:
        record["runs"]["the reference"] = against_reference(options)
    if options.tokenizers_texts:
        counts = against_tokenizers(options)
        record["runs"][f"tokenizers {counts['version']}"] = counts
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(record))
    print(markdown(record), end="")
    runs = record["runs"].values()
    for counts in runs:
        for first in counts["first"]:
            print(first["number"], first["code_points"], first["parts_at"])
    return 0 if runs and all(c["mismatches"] == 0 and c["compared"] > 0 for c in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
