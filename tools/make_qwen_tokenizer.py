#!/usr/bin/env python3
"""Qwen2's tokenizer in the form of a Hugging Face checkpoint, from the table of ranks that Qwen's own package carries.

    make_qwen_tokenizer.py RANKS DIRECTORY

RANKS is qwen.tiktoken of the package dashscope (Apache-2.0): one token a line, its bytes in base64 and its rank. Into
DIRECTORY go vocab.json, merges.txt, tokenizer_config.json and, last, tokenizer.json, each whole or not at all. Python's
standard library alone; the same bytes every time. Exit status 2, and one line, for another table or a folder that cannot
be written.
"""
import base64
import hashlib
import json
import os
import sys
from pathlib import Path

RANKS_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # their ids follow the ranks: 151643, 151644, 151645

# Qwen2's pre-tokenizer: each digit is a piece of its own.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
           r"|\s+")
# ChatML. The default system text appears only when the first message is not a system message.
CHAT_TEMPLATE = ("{%- if messages[0].role != 'system' -%}\n"
                 "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}\n"
                 "{%- endif -%}\n"
                 "{%- for message in messages -%}\n"
                 "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n"
                 "{%- endfor -%}\n"
                 "{%- if add_generation_prompt -%}\n"
                 "{{- '<|im_start|>assistant\\n' -}}\n"
                 "{%- endif -%}\n")
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def refuse(line):
    print(f"make_qwen_tokenizer: {line}", file=sys.stderr)
    sys.exit(2)


def read_ranks(path):
    """Bytes of each token -> its rank, in order of rank."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        refuse(f"{path}: {problem.strerror}")
    if hashlib.sha256(data).hexdigest() != RANKS_SHA256:
        refuse(f"{path}: is not the qwen.tiktoken that is known here (SHA-256 {RANKS_SHA256[:12]}...)")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}


def byte_symbols():
    """The byte-level alphabet (GPT-2's): visible bytes stand for themselves, the others for U+0100 and on, in order."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def two_parts(token, rank, ranks):
    """The merge that makes a token: what encoding its bytes leaves when only merges of lower rank exist."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while True:
        best, at = rank, None
        for i in range(len(parts) - 1):
            other = ranks.get(parts[i] + parts[i + 1], rank)
            if other < best:
                best, at = other, i
        if at is None:
            break
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    if len(parts) != 2:
        refuse(f"token {rank} is not made of two others: the table is no byte-pair encoding")
    return parts


def tokenizer_file(vocab, merges):
    added = [{"id": len(vocab) + i, "content": text, **FLAGS} for i, text in enumerate(SPECIALS)]
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]}, "post_processor": BYTE_LEVEL,
            "decoder": BYTE_LEVEL, "model": model}


def tokenizer_config(first_special):
    added = {str(first_special + i): {"content": text, **FLAGS} for i, text in enumerate(SPECIALS)}
    return {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added,
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
            "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
            "errors": "replace", "model_max_length": 32768, "pad_token": "<|endoftext|>",
            "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}


def write_whole(path, text):
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        refuse(f"{path}: cannot be written: {problem.strerror}")


def main():
    if len(sys.argv) != 3:
        refuse("usage: make_qwen_tokenizer.py RANKS DIRECTORY")
    directory = Path(sys.argv[2])
    ranks = read_ranks(Path(sys.argv[1]))
    symbols = byte_symbols()

    def spelled(token):
        return "".join(symbols[byte] for byte in token)

    vocab = {spelled(token): rank for token, rank in ranks.items()}
    merges = [" ".join(map(spelled, two_parts(token, rank, ranks))) for token, rank in ranks.items() if len(token) > 1]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        refuse(f"{directory}: cannot be made: {problem.strerror}")

    def json_text(value, indent=2):
        return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"

    write_whole(directory / "vocab.json", json_text(vocab, None))
    write_whole(directory / "merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
    write_whole(directory / "tokenizer_config.json", json_text(tokenizer_config(len(ranks))))
    # The last one: a folder without it has no tokenizer, rather than half of one.
    write_whole(directory / "tokenizer.json", json_text(tokenizer_file(vocab, merges)))


if __name__ == "__main__":
    main()
