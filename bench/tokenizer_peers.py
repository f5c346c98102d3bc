"""The tokenizers that bench/tokenizer_pairs.py measures the native one against: each by its fastest call on one thread.

A peer takes text as str and gives whatever it gives; ids(what encode() gave) is a list, outside the time. Those not installed are
left out by name.
"""
import tempfile

import tokenizer_texts

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
           r"|\s+")


class Tokenizers:
    name = "tokenizers"

    def __init__(self, model):
        import tokenizers
        self.load = lambda: tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
        made = self.load()
        # Of the calls that give ids the fastest: it keeps no offsets.
        self.encode = lambda text: made.encode_batch_fast([text])
        self.decode = lambda ids: made.decode(ids, skip_special_tokens=False)

    def ids(self, encoded):
        return encoded[0].ids


class Tiktoken:
    name = "tiktoken"

    def __init__(self, model):
        import tiktoken
        made = tiktoken.Encoding("qwen2", pat_str=PATTERN, mergeable_ranks=tokenizer_texts.token_bytes(model), special_tokens={})
        self.encode = made.encode_ordinary
        self.decode = made.decode
        self.ids = list


class Quicktok:
    name = "quicktok-v1"

    def __init__(self, model):
        import quicktok
        self.folder = tempfile.TemporaryDirectory()
        quicktok.import_tokenizer(str(model / "tokenizer.json"), "qwen2-imported", data_dir=self.folder.name)
        made = quicktok.Tokenizer("qwen2-imported", self.folder.name)
        self.encode = made.encode_ordinary
        self.decode = made.decode
        self.ids = list


class BpeQwen:
    name = "bpe-qwen"

    def __init__(self, model):
        import bpe_qwen
        made = bpe_qwen.QwenLinearTokenizer(vocab_file=str(model / "vocab.json"), merges_file=str(model / "merges.txt"))
        self.encode = made.encode
        self.decode = made.decode
        self.ids = list


def installed(model):
    """The peers that are here, and a line for each that is not."""
    peers, missing = [], []
    for kind in (Tiktoken, Tokenizers, Quicktok, BpeQwen):
        try:
            peers.append(kind(model))
        except ImportError as problem:
            missing.append(f"{kind.name} is left out: {problem}")
    return peers, missing
