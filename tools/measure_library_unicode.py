#!/usr/bin/env python3
"""What the installed PCRE2 and ICU know of Unicode, beside what `tokenizers` 0.23.3 does (unicode_facts.py).

    apt-get install libpcre2-8-0 libicu72
    pip install unicodedataplus==16.0.0.post1
    python3 tools/measure_library_unicode.py [--list]

Asks each library about every code point: PCRE2 (UTF, UCP) for the classes of a pre-tokenizer's pattern, ICU for
combining classes and canonical decompositions. Prints how many differ; --list their ranges too.
"""
import argparse
import ctypes
import ctypes.util
import sys

import unicode_facts as facts

UTF, UCP, ANCHORED, CASELESS = 0x00080000, 0x00020000, 0x80000000, 0x00000008  # pcre2.h


def library(name):
    found = ctypes.util.find_library(name)
    if found is None:
        print(f"{sys.argv[0]}: lib{name} is not installed", file=sys.stderr)
        sys.exit(2)
    return ctypes.CDLL(found), found


class Pcre2:
    def __init__(self):
        self._lib, _ = library("pcre2-8")
        for name in ("pcre2_compile_8", "pcre2_match_data_create_8"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._data = ctypes.c_void_p(self._lib.pcre2_match_data_create_8(1, None))

    def version(self, what=11):  # PCRE2_CONFIG_VERSION; PCRE2_CONFIG_UNICODE_VERSION is 10
        text = ctypes.create_string_buffer(64)
        self._lib.pcre2_config_8(what, text)
        return text.value.decode()

    def matches(self, pattern, options=0):
        error, at = ctypes.c_int(), ctypes.c_size_t()
        code = self._lib.pcre2_compile_8(pattern.encode(), ctypes.c_size_t(len(pattern)),
                                         ctypes.c_uint32(UTF | UCP | ANCHORED | options), ctypes.byref(error),
                                         ctypes.byref(at), None)
        assert code, pattern
        match, zero = self._lib.pcre2_match_8, ctypes.c_size_t(0)
        texts = ((c, chr(c).encode()) for c in facts.SCALARS)
        return {c for c, text in texts if match(ctypes.c_void_p(code), text, ctypes.c_size_t(len(text)), zero,
                                                ctypes.c_uint32(0), self._data, None) > 0}


class Icu:
    """ICU's C functions carry its version in their names: u_getCombiningClass_72."""

    def __init__(self):
        self._lib, file = library("icuuc")
        self.version = file.rsplit(".", 1)[-1]
        self._nfc = self._call("unorm2_getNFCInstance", ctypes.c_void_p)(ctypes.byref(ctypes.c_int()))

    def _call(self, name, result):
        function = getattr(self._lib, f"{name}_{self.version}")
        function.restype = result
        return function

    def combining_classes(self):
        get = self._call("u_getCombiningClass", ctypes.c_uint8)
        return {c: value for c in facts.SCALARS if (value := get(c))}

    def decompositions(self):
        get, found = self._call("unorm2_getRawDecomposition", ctypes.c_int32), {}
        buffer = ctypes.create_string_buffer(32)
        for c in facts.SCALARS:
            units = get(ctypes.c_void_p(self._nfc), c, buffer, 16, ctypes.byref(ctypes.c_int()))
            if units >= 0 and c not in facts.SYLLABLES:
                found[c] = tuple(map(ord, buffer.raw[:2 * units].decode("utf-16")))
        return found


def ranges(code_points):
    found = []
    for c in sorted(code_points):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return " ".join(f"{first:04X}" if first == last else f"{first:04X}..{last:04X}" for first, last in found)


def compared():
    """(what, how many code points the library has, those that differ)"""
    of_class = {k: {c for c in facts.SCALARS if facts.char_class(c) == k} for k in facts.CLASSES}
    pcre2, icu = Pcre2(), Icu()
    name = f"PCRE2 {pcre2.version()}, Unicode {pcre2.version(10)}:"
    for pattern, k in ((r"\p{L}", "letter"), (r"\p{N}", "number"), (r"\s", "space"), (r"\p{White_Space}", "space")):
        matched = pcre2.matches(pattern)
        yield f"{name} {pattern}", len(matched), matched ^ of_class[k]
    folded = pcre2.matches("[strevmld]", CASELESS)
    yield f"{name} (?i:[strevmld])", len(folded), folded ^ {0x17F, *map(ord, "strevmldSTREVMLD")}
    for what, theirs, ours in (("combining classes", icu.combining_classes(), facts.combining_classes()),
                               ("decompositions", icu.decompositions(), facts.decompositions())):
        differ = {c for c in theirs.keys() | ours.keys() if theirs.get(c) != ours.get(c)}
        yield f"ICU {icu.version}: {what}", len(theirs), differ


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="the code points that differ")
    with_ranges = parser.parse_args().list
    facts.require_package()
    for what, count, differ in compared():
        print(f"{what:60} {count:7}  differ: {len(differ)}")
        if with_ranges and differ:
            print(f"  {ranges(differ)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
