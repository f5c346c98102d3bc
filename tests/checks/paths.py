#!/usr/bin/env python3
"""No tracked text file names a folder of the machine it was written on. Exit status 1 when one does.

    paths.py ROOT
"""
import re
import subprocess
import sys
from pathlib import Path

# Put together from pieces, so that this file passes its own check. A letter, digit or dot in front makes it
# part of a longer path or of an address.
FOLDERS = ("home", "root", "work", "Users")
MACHINE_PATH = re.compile(r"(?<![\w.$})-])/(?:(?:" + "|".join(FOLDERS) + r")/|tmp" + r"/\w)")


def tracked_files(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode != 0:
        return None
    return [root / name for name in listed.stdout.decode().split("\0") if name]


def violations_in(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        found = MACHINE_PATH.search(line)
        if found:
            yield f"{name}:{number}: {line[max(0, found.start() - 20):found.start() + 60].strip()}"


def main():
    root = Path(sys.argv[1])
    files = tracked_files(root)
    if files is None:
        print("skipped: not a git checkout")
        return 77
    found = []
    for path in files:
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found += violations_in(path.relative_to(root).as_posix(), data.decode("utf-8", "replace"))
    print("\n".join(found[:50]) if found else "paths: none of a machine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
