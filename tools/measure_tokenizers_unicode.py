#!/usr/bin/env python3
"""Which Unicode versions `tokenizers` follows: asks it about every code point.

    pip install tokenizers==0.23.3 unicodedataplus==16.0.0.post1
    python3 tools/measure_tokenizers_unicode.py

Prints for each part how many code points it holds, the version of Unicode whose set that is, and how many fewer
older versions know. tools/generate_unicode_tables.py --check uses the same measurements.
"""
import sys

import unicode_facts as facts

try:
    import tokenizers
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
except ImportError:
    tokenizers = None

PINNED = "0.23.3"
CHUNK = 4096
TOKEN = "\ue000"  # private: no letter, no mark
FOLDED = "strevmld"  # the letters of (?i:'s|'t|'re|'ve|'m|'ll|'d)


def version():
    return tokenizers.__version__


def require_tokenizers():
    if tokenizers is None or version() != PINNED:
        print(f"{sys.argv[0]}: needs tokenizers {PINNED}: pip install tokenizers=={PINNED}", file=sys.stderr)
        sys.exit(2)


def chunks(code_points):
    code_points = list(code_points)
    return (code_points[at:at + CHUNK] for at in range(0, len(code_points), CHUNK))


def matched_by(pattern, among=facts.SCALARS):
    """The code points that a regular expression of the pre-tokenizer matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for chunk in chunks(among):
        left = set().union(*(piece for piece, _ in split.pre_tokenize_str("".join(map(chr, chunk)))))
        found.update(c for c in chunk if chr(c) not in left)
    return found


def beside_added_token(template, takes, **flags):
    """The code points c for which an added token in template.format(c) satisfies takes(its offsets, or None)."""
    tokenizer = Tokenizer(models.BPE(vocab={}, merges=[]))
    tokenizer.add_tokens([AddedToken(TOKEN, normalized=False, **flags)])
    width = len(template.format("c"))
    found = set()
    for chunk in chunks(c for c in facts.SCALARS if chr(c) != TOKEN):
        spans = tokenizer.encode("".join(template.format(chr(c)) for c in chunk)).offsets
        by_item = {}
        for begin, end in spans:
            item = (end - 1) // width
            by_item[item] = (begin - item * width, end - item * width)
        found.update(c for item, c in enumerate(chunk) if takes(by_item.get(item)))
    return found


def word_sets():
    """Neighbours that keep a single_word token from matching: before it, behind it."""
    missing = lambda span: span is None
    return (beside_added_token("!{}" + TOKEN + "!", missing, single_word=True),
            beside_added_token("!" + TOKEN + "{}!", missing, single_word=True))


def stripped_sets():
    """What lstrip takes before a token, rstrip behind it."""
    return (beside_added_token("!{}" + TOKEN + "!", lambda span: span == (1, 3), lstrip=True),
            beside_added_token("!" + TOKEN + "{}!", lambda span: span == (1, 3), rstrip=True))


def normalise_all(form, texts):
    """Many texts at once: a line end is inert under normalisation."""
    normaliser = {"NFC": normalizers.NFC, "NFD": normalizers.NFD}[form]()
    texts, results = list(texts), []
    for at in range(0, len(texts), CHUNK):
        results += normaliser.normalize_str("\n".join(texts[at:at + CHUNK])).split("\n")
    assert len(results) == len(texts)
    return results


def order_texts(classes):
    """Texts that tell each code point's combining class: by where it goes among one mark of every class."""
    steps = facts.decompositions(lambda c: True)
    marks = {}
    for c in sorted(classes):
        if c not in steps:
            marks.setdefault(classes[c], chr(c))
    all_marks = "q" + "".join(marks[value] for value in sorted(marks))
    lowest, highest = all_marks[1], marks[240]
    return [all_marks + chr(c) if c in classes else "q" + highest + chr(c) + lowest for c in facts.SCALARS if c != 0x0A]


def pair_texts():
    """Every first of a canonical decomposition before every second, of all versions; the composing jamo."""
    pairs = [pair for pair in facts.decompositions(lambda c: True).values() if len(pair) == 2]
    firsts, seconds = sorted({a for a, _ in pairs}), sorted({b for _, b in pairs})
    texts = [chr(a) + chr(b) for a in firsts for b in seconds]
    texts += [chr(a) + chr(b) for a in range(0x10FF, 0x1115) for b in range(0x1160, 0x1178)]
    return texts + [chr(a) + chr(b) for a in range(0xABFF, 0xD7A6) for b in (0x1160, *range(0x11A6, 0x11C4))]


def nfc_differences():
    """Texts that tokenizers normalises otherwise than facts.Normaliser, as (what, texts asked, those that differ)."""
    model = facts.Normaliser()
    alone = [chr(c) for c in facts.SCALARS if c != 0x0A]
    asked = [("NFC", "NFC alone", alone), ("NFD", "NFD alone", alone),
             ("NFC", "combining class", order_texts(facts.combining_classes())), ("NFC", "NFC of a pair", pair_texts())]
    for form, what, texts in asked:
        yield what, len(texts), [t for t, got in zip(texts, normalise_all(form, texts)) if got != model(form, t)]


def name(text):
    return " ".join(f"U+{ord(c):04X}" for c in text)


def class_parts():
    """(what, measured, expected) of every set of code points."""
    of_class = {k: set() for k in facts.CLASSES}
    for c in facts.SCALARS:
        of_class[facts.char_class(c)].add(c)
    word = {c for c in facts.SCALARS if facts.is_word(c)}
    yield r"\p{L}", matched_by(r"\p{L}"), of_class["letter"]
    yield r"\p{N}", matched_by(r"\p{N}"), of_class["number"]
    yield r"\s", matched_by(r"\s"), of_class["space"]
    for what, measured in zip(("single_word, before", "single_word, behind"), word_sets()):
        yield what, measured, word
    for what, measured in zip(("lstrip", "rstrip"), stripped_sets()):
        yield what, measured, of_class["space"]
    folding = matched_by(f"(?i:{'|'.join(FOLDED)})")
    for letter in FOLDED:
        yield f"(?i:{letter})", matched_by(f"(?i:{letter})", sorted(folding)), {ord(letter), ord(letter.upper())} | (
            {0x017F} if letter == "s" else set())


def differences():
    """One line for each code point or text on which tokenizers and unicode_facts disagree."""
    require_tokenizers()
    found = []
    for what, measured, expected in class_parts():
        found += [f"{what}: {name(chr(c))}: tokenizers says {c in measured}" for c in sorted(measured ^ expected)]
    for what, _, texts in nfc_differences():
        found += [f"{what}: {name(text)}" for text in texts]
    return found


def print_parts():
    print(f"tokenizers {version()}, {len(facts.SCALARS)} code points\n")
    for what, measured, expected in class_parts():
        print(f"{what:20} {len(measured):7}  differ from Unicode {facts.CLASS_VERSION}: {len(measured ^ expected)}")
    for what, asked, texts in nfc_differences():
        print(f"{what:20} {asked:7}  differ from Unicode {facts.NFC_VERSION}: {len(texts)}")


def print_versions():
    """What each version since NFC's knew of the sets above."""
    ages = {c: facts.age(c) for c in facts.SCALARS}
    marks, steps = facts.combining_classes(lambda c: True), facts.decompositions(lambda c: True)
    composites = set(facts.compositions(steps).values())
    kinds = {c: facts.char_class(c) for c in facts.SCALARS}
    print(f"\n{'Unicode':8}{'letters':>9}{'numbers':>9}{'word':>9}{'marks to order':>16}{'composites':>12}")
    for known in sorted({age for age in ages.values() if age and age >= (8, 0)}):
        old = {c for c, age in ages.items() if age and age <= known}
        print(f"{known[0]}.{known[1]:<6}{sum(kinds[c] == 'letter' for c in old):9}{sum(kinds[c] == 'number' for c in old):9}"
              f"{sum(map(facts.is_word, old)):9}{len(old & marks.keys()):16}{len(old & composites):12}")


def main():
    facts.require_package()
    require_tokenizers()
    print_parts()
    print_versions()
    return 0


if __name__ == "__main__":
    sys.exit(main())
