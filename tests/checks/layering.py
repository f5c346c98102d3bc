#!/usr/bin/env python3
"""Who may include and link whom (docs/architecture.md). Prints each violation; exit status 1 when there is any.

    layering.py ROOT
"""
import re
import sys
from pathlib import Path

SIDES = ("harness", "reference", "impl")

# Folder of ours -> folders of ours whose headers it may include.
MAY_INCLUDE = {
    "harness": ("harness",),
    "reference": ("reference", "harness"),
    "impl": ("impl", "harness"),
    "phases": ("phases",) + SIDES,
    "cli": ("cli",) + SIDES,
    "tests": ("tests", "phases", "cli") + SIDES,
    "bench": ("bench",) + SIDES,
    "tools": ("tools", "harness"),
}

# Beyond the table: the command that runs the suites knows the list of cases, phase 4 and 5 show benchmarks' ratios, and phase 5
# what a LibTorch engine written for speed changes where the native one changes nothing.
ALSO_ALLOWED = {("cli", "phases/support/cases.h"), ("phases", "bench/sampler_ratios.h"),
                ("phases", "bench/cache_ratios.h"), ("phases", "bench/peers/torch_qwen2.h")}

# Of harness/, the native engine knows the interface and the files it writes, no more: what judges it is none of its business.
IMPL_SEES_OF_HARNESS = {
    "harness/" + name + ".h"
    for name in ("dtype", "engine", "error", "generation", "model", "output_file", "probe", "sampling", "tensor",
                 "tensor_file", "tokenizer", "weight_hash")
}

# A header of others, by the beginning of its name -> where it may be included.
OUTSIDE = {
    "LibTorch": (r"(torch|ATen|c10|caffe2)/", ("reference/", "bench/peers/", "tests/reference/device_")),
    "Catch2": (r"catch2/", ("phases/", "tests/")),
    "CLI11": (r"CLI/", ("bench/", "cli/", "tools/", "phases/support/suite_main.cpp")),
    "yaml-cpp": (r"yaml-cpp/", ("harness/",)),
    "PCRE2": (r"pcre2\.h", ("reference/", "impl/tokenization/")),
    "ICU": (r"unicode/", ("reference/",)),
    "the CUDA Toolkit": (r"(cuda|cublas|cooperative_groups)[A-Za-z0-9_]*\.(h|cuh)$|cub/",
                         ("impl/cuda/", "tests/cuda_emulation/", "tests/emulated/", "tests/impl/cuda/")),
}

# Folder -> libraries of ours that its CMakeLists.txt may link.
MAY_LINK = {
    "harness": (),
    "reference": ("harness",),
    "impl": ("impl", "harness"),  # the CUDA engine is a library of its own
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
LINK = re.compile(r"target_link_libraries\s*\(([^)]*)\)", re.IGNORECASE)
SOURCES = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"}


def files_under(root, folder, accept):
    return sorted(path for path in (root / folder).rglob("*") if path.is_file() and accept(path))


def is_private_to_reference(header):
    return header.startswith("reference/internal/")


def own_include_problem(root, folder, name, header):
    """Why `name` (a file in `folder`) may not include our `header`; None when it may."""
    target = header.split("/")[0]
    if "/" not in header or target not in MAY_INCLUDE or not (root / header).is_file():
        return "is no file of ours by its path from the root"
    if (folder, header) in ALSO_ALLOWED:
        return None
    if target not in MAY_INCLUDE[folder]:
        return f"{folder}/ may include only {', '.join(MAY_INCLUDE[folder])}"
    if folder == "impl" and target == "harness" and header not in IMPL_SEES_OF_HARNESS:
        return "impl/ knows the engine interface of harness/ only"
    if is_private_to_reference(header) and not name.startswith(("reference/", "tests/reference/")):
        return "reference/internal/ is private to reference/"
    public_header = name.startswith("reference/") and name.endswith(".h") and not is_private_to_reference(name)
    if is_private_to_reference(header) and public_header:
        return "a public header would hand on LibTorch's types"
    return None


def outside_include_problem(name, header):
    for library, (pattern, allowed) in OUTSIDE.items():
        if not re.match(pattern, header):
            continue
        if not name.startswith(tuple(allowed)):
            return f"{library} is for {', '.join(allowed)} only"
        if library == "LibTorch" and name.endswith(".h") and not is_private_to_reference(name):
            return "LibTorch's types stay in .cpp files and reference/internal/"
    return None


def include_violations(root):
    for folder in MAY_INCLUDE:
        for path in files_under(root, folder, lambda p: p.suffix in SOURCES):
            name = path.relative_to(root).as_posix()
            for quote, header in INCLUDE.findall(path.read_text(encoding="utf-8", errors="replace")):
                problem = outside_include_problem(name, header)
                if problem is None and quote == '"':
                    problem = own_include_problem(root, folder, name, header)
                if problem is not None:
                    yield f"{name}: includes {header}: {problem}"


def torch_link_problem(name, words):
    if not any(re.search(r"torch", word, re.IGNORECASE) for word in words):
        return None
    if not name.startswith(("reference/", "bench/peers/", "tests/reference/")):
        return "LibTorch is for reference/ only"
    scope = ""
    for word in words:
        if word in ("PUBLIC", "PRIVATE", "INTERFACE"):
            scope = word
        elif re.search(r"torch", word, re.IGNORECASE) and scope != "PRIVATE":
            return "LibTorch must be linked PRIVATE"
    return None


def link_violations(root):
    scripts = [path for folder in MAY_INCLUDE
               for path in files_under(root, folder, lambda p: p.name == "CMakeLists.txt")]
    for path in scripts:
        name = path.relative_to(root).as_posix()
        folder = name.split("/")[0]
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        for arguments in LINK.findall(text):
            words = arguments.split()
            problem = torch_link_problem(name, words)
            if problem is not None:
                yield f"{name}: {problem}"
            for side in re.findall(r"plumbline(?:::|_)(\w+)", " ".join(words[1:])):
                if folder in MAY_LINK and side in SIDES and side not in MAY_LINK[folder]:
                    yield f"{name}: links {side}, and {folder}/ may not"


def violations(root):
    return list(include_violations(root)) + list(link_violations(root))


def main():
    found = violations(Path(sys.argv[1]))
    print("\n".join(found) if found else "layering: nothing to complain of")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
