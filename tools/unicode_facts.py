"""The Unicode facts that a byte-level BPE tokenizer needs, as the pinned `tokenizers` has them.

It follows two versions at once: its regular expressions know Unicode 16.0.0, its normalisation 9.0.0
(measure_tokenizers_unicode.py shows both). One package carries the data of both: `unicodedataplus` 16.0.0.post1
knows the version in which a code point was assigned, and Unicode's stability policy never changes the combining
class, decomposition or composition of an assigned one: 9.0.0's normalisation is 16.0.0's without the code points
assigned since.
"""
import sys

PACKAGE = "unicodedataplus==16.0.0.post1"

try:
    import unicodedataplus as data
except ImportError:
    data = None

CLASS_VERSION = "16.0.0"
NFC_VERSION = "9.0.0"
CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)
SCALARS = [c for c in range(CODE_POINTS) if c not in SURROGATES]
SYLLABLES = range(0xAC00, 0xAC00 + 11172)
COMPOSING_JAMO = [*range(0x1161, 0x1161 + 21), *range(0x11A8, 0x11A8 + 27)]  # vowels, trailing consonants
CLASSES = ("other", "letter", "number", "space")

# Alphabetic by Other_Alphabetic alone: the circled and squared letters. All others of that property are marks.
CIRCLED_LETTERS = {c for r in ((0x24B6, 0x24EA), (0x1F130, 0x1F14A), (0x1F150, 0x1F16A), (0x1F170, 0x1F18A))
                   for c in range(*r)}


def require_package():
    if data is None or data.unidata_version != CLASS_VERSION:
        print(f"{sys.argv[0]}: needs Unicode {CLASS_VERSION}'s data: pip install {PACKAGE}", file=sys.stderr)
        sys.exit(2)


def char_class(c):
    r"""\p{L}, \p{N} and \s, White_Space: the Z categories and six controls."""
    category = data.category(chr(c))
    if category[0] in "LN":
        return "letter" if category[0] == "L" else "number"
    return "space" if category[0] == "Z" or 0x09 <= c <= 0x0D or c == 0x85 else "other"


def is_word(c):
    r"""\w of UTS #18, annex C: Alphabetic, M, Nd, Pc, Join_Control."""
    category = data.category(chr(c))
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or c in CIRCLED_LETTERS or c in (0x200C, 0x200D)


def age(c):
    """(16, 0) for a code point that Unicode 16.0 assigned; None where it is unassigned."""
    text = data.age(chr(c))
    return tuple(map(int, text.split("."))) if text[0].isdigit() else None


def known_to_nfc(c):
    assigned = age(c)
    return assigned is not None and assigned <= tuple(map(int, NFC_VERSION.split(".")[:2]))


def combining_classes(known=known_to_nfc):
    return {c: data.combining(chr(c)) for c in range(CODE_POINTS) if data.combining(chr(c)) and known(c)}


def decompositions(known=known_to_nfc):
    """Canonical, one step: code point -> (first, second), or (first,). Hangul is arithmetic and not in here."""
    found = {}
    for c in range(CODE_POINTS):
        text = data.decomposition(chr(c))
        if text and text[0] != "<" and c not in SYLLABLES and known(c):
            found[c] = tuple(int(part, 16) for part in text.split())
    return found


def compositions(steps):
    """(first, second) -> composite, without what NFC excludes: a composite that NFC itself takes apart."""
    return {pair: c for c, pair in steps.items() if len(pair) == 2 and data.normalize("NFC", chr(c)) == chr(c)}


class Normaliser:
    """NFC and NFD of NFC_VERSION by the package: for what matters and came later stand surrogates, which are inert."""

    def __init__(self):
        steps = decompositions(lambda c: True)
        matter = set(combining_classes(lambda c: True)) | set(steps) | {c for pair in steps.values() for c in pair}
        later = sorted(c for c in matter if not known_to_nfc(c))
        self._hide = dict(zip(later, SURROGATES))
        self._show = {surrogate: c for c, surrogate in self._hide.items()}

    def __call__(self, form, text):
        return data.normalize(form, text.translate(self._hide)).translate(self._show)


def not_quick_check_yes(steps):
    """The code points whose NFC_Quick_Check is No (NFC takes them apart) or Maybe (second in a composition)."""
    pairs = compositions(steps)
    composites = set(pairs.values())
    return {c for c in steps if c not in composites} | {second for _, second in pairs} | set(COMPOSING_JAMO)
