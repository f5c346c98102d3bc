"""What bench/tokenizer_pairs.py has encoded: text made from what the repository holds, the same for the same commit.

English is the prose of the documents and the comments of the sources, code and Markdown are files as they are. The repository has
little Chinese and Russian: theirs are words of the vocabulary, the n-th of them with the weight 1/n, two in a row at times, with
punctuation. Scripts, emoji, numbers and white space are drawn as phase 2's cases are (fixtures/scripts/token_texts.py). All text is
in NFC, which half of the peers want, and holds no special token.
"""
import itertools
import json
import pathlib
import random
import re
import sys
import unicodedata

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "fixtures" / "scripts"))
import token_texts  # noqa: E402

FOLDERS = ("bench", "cli", "cmake", "docs", "fixtures", "harness", "impl", "phases", "reference", "tests", "tools")
# Of the bytes of mixed text, in hundredths.
MIXTURE = {"English": 26, "code": 26, "Markdown": 10, "Chinese": 10, "Russian": 8, "scripts": 10, "emoji": 3, "numbers": 4, "white space": 3}


def alphabet():
    """GPT-2's byte-level alphabet: the byte of each character."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in itself)
    return {**{chr(byte): byte for byte in itself}, **{chr(0x100 + n): byte for n, byte in enumerate(others)}}


def token_bytes(model):
    """The bytes of each token of model/tokenizer.json's vocabulary, and its id."""
    byte_of = alphabet()
    vocab = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return {bytes(byte_of[c] for c in token): number for token, number in vocab.items()}


def files(*suffixes):
    found = [path for folder in FOLDERS for path in (SOURCE / folder).rglob("*") if path.suffix in suffixes]
    return [path.read_text(encoding="utf-8") for path in sorted(found + [path for path in SOURCE.glob("*") if path.suffix in suffixes])]


def sentences():
    prose = [line for text in files(".md") for line in text.splitlines() if re.match(r"[A-Z][a-z]+ ", line)]
    comments = [" ".join(line.strip("/ ") for line in block.splitlines())
                for text in files(".h", ".cpp") for block in re.findall(r"(?:^ *// [A-Za-z].*\n)+", text, re.MULTILINE)]
    return [text + "\n" for text in prose + comments]


def words(tokens, pattern):
    known = [token.decode("utf-8", "replace") for token in sorted(tokens, key=tokens.get)]
    return [word for word in known if re.fullmatch(pattern, word)]


def drawn_words(rng, source, most, joined, marks):
    """Without end: clauses of up to `most` words by their weights; `joined` of them have a second one's letters behind them."""
    weights = list(itertools.accumulate(1 / n for n in range(1, len(source) + 1)))
    while True:
        chosen = rng.choices(source, cum_weights=weights, k=rng.randint(2, most))
        text = "".join(word + (rng.choice(source).strip() if rng.random() < joined else "") for word in chosen)
        yield text.strip() + rng.choice(marks)


def shuffled(rng, texts):
    while True:
        yield from rng.sample(texts, len(texts))


def drawn(rng, make):
    for rng.counter in itertools.count():
        yield make(rng) + " "


def paragraphs(text, size=1500):
    """About `size` characters each, cut at line ends."""
    lines = text.splitlines(keepends=True)
    out = [""]
    for line in lines:
        if len(out[-1]) >= size:
            out.append("")
        out[-1] += line
    return out


def sources(tokens):
    """By kind: paragraphs without end."""
    def rng(kind):
        return random.Random(f"plumbline: {kind}")
    code = [part for text in files(".cpp", ".h", ".py", ".cu", ".sh", ".cmake") for part in paragraphs(text)]
    chinese = words(tokens, "[\u4e00-\u9fff]+")
    russian = words(tokens, " [\u0430-\u044f\u0451]+")
    return {
        "English": shuffled(rng("English"), sentences()),
        "code": shuffled(rng("code"), code),
        "Markdown": shuffled(rng("Markdown"), [part for text in files(".md") for part in paragraphs(text)]),
        "Chinese": drawn_words(rng("Chinese"), chinese, 9, 0.1, "，。，。、！\n"),
        "Russian": drawn_words(rng("Russian"), russian, 20, 0.3, (", ", ". ", ".\n")),
        "scripts": drawn(rng("scripts"), token_texts.script),
        "emoji": drawn(rng("emoji"), token_texts.emoji),
        "numbers": drawn(rng("numbers"), token_texts.number),
        "white space": drawn(rng("white space"), token_texts.white_space),
    }


def clean(text):
    return unicodedata.normalize("NFC", text.replace("<|", "< |"))


def kind_text(source, size):
    """At least `size` bytes."""
    parts, length = [], 0
    while length < size:
        parts.append(clean(next(source)))
        length += len(parts[-1].encode())
    return clean("".join(parts))


def mixed_text(by_kind, size):
    """Paragraphs of every kind in turn, each kind as much as MIXTURE says."""
    rng = random.Random("plumbline: mixed")
    rounds = size // 100_000 + 1
    parts = [kind_text(by_kind[kind], share * 125) for _ in range(rounds * 8) for kind, share in MIXTURE.items()]
    rng.shuffle(parts)
    return clean("".join(parts))


def digits(size):
    rng = random.Random("plumbline: digits")
    return "".join(str(rng.randrange(10 ** rng.randint(1, 12))) + rng.choice(", \n") for _ in range(size // 7))
