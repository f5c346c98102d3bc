#!/usr/bin/env python3
"""Whether the C++ of a page is the code that is compiled and run: each ```cpp block must stand in the source, line by line,
indentation aside. Prints each line that differs; exit status 1 when there is any, or no block at all.

    doc_code.py PAGE SOURCE
"""
import re
import sys
from pathlib import Path


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def find(block, source):
    """Where the block begins in the source; else None, and the first of its lines that is nowhere."""
    for at in range(len(source) - len(block) + 1):
        if source[at:at + len(block)] == block:
            return at, None
    return None, next((line for line in block if line not in source), block[0])


def main(page, source):
    blocks = re.findall(r"^```cpp\n(.*?)^```", Path(page).read_text(), re.MULTILINE | re.DOTALL)
    code = lines_of(Path(source).read_text())
    wrong = 0
    for number, block in enumerate(blocks, 1):
        at, missing = find(lines_of(block), code)
        if at is None:
            print(f"{page}: block {number} is not in {source}: '{missing}'")
            wrong += 1
    if not blocks:
        print(f"{page}: has no code")
    return 1 if wrong or not blocks else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
