#!/usr/bin/env python3
"""The first inputs of the fuzzers, made of the fixtures: small files of each kind.

    seeds.py FIXTURES FOLDER      writes FOLDER/{config,safetensors,index,template,tokenizer,tolerance,trace}/
"""
import json
import pathlib
import struct
import sys

FIXTURES, FOLDER = (pathlib.Path(argument) for argument in sys.argv[1:3])


def put(kind, name, content):
    path = FOLDER / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors, metadata=None):
    """tensors: name -> (dtype, bytes of one element, shape); all zero."""
    header, offset = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, size, shape) in tensors.items():
        end = offset + size * int.__mul__(*(list(shape) + [1, 1])[:2])
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


for path in [*(FIXTURES / "configs").glob("*.json"), *(FIXTURES / "models").rglob("config.json")]:
    put("config", "-".join(path.relative_to(FIXTURES).parts), path.read_bytes())

put("safetensors", "empty", safetensors({}))
put("safetensors", "three", safetensors({"model.norm.weight": ("F32", 4, [4]), "a": ("BF16", 2, [2, 3]),
                                         "b": ("F16", 2, [0])}, {"format": "pt"}))

put("index", "two", json.dumps({"metadata": {"total_size": 16},
                                "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
put("index", "above", json.dumps({"weight_map": {"a": "../1.safetensors"}}))

text = (FIXTURES / "tolerances.yaml").read_text()
put("tolerance", "all", text)
put("tolerance", "small", "version: 1\nops:\n  - {op: rope, dtype: f32, device: cpu, rule: bound, lambda: 2, why: x}\n"
    "gates:\n  - {gate: position, value: 0, why: x}\n")

put("trace", "one", safetensors({"model.norm": ("F32", 4, [2, 4]), "model.layers.0.mlp.act": ("F32", 4, [2, 3])},
                                {"format_version": "1", "engine": "e", "storage_dtype": "f32"}))
put("trace", "steps", safetensors({"seq.0/step.1/model.norm": ("F32", 4, [1, 4]),
                                   "seq.0/initial/past_key_values.0.key": ("F32", 4, [2, 2]),
                                   "seq.0/initial/past_key_values.0.value": ("F32", 4, [2, 2])}))

for path in (FIXTURES / "templates").glob("*.jinja"):
    put("template", path.name, path.read_bytes())
for number, case in enumerate(json.loads((FIXTURES / "goldens" / "chat" / "jinja.json").read_text())["cases"]):
    put("template", f"golden-{number}", case["template"])

# Both targets of a tokenizer begin with these: texts, behind a byte of options, and a small file.
for number, category in enumerate(json.loads((FIXTURES / "goldens" / "token_texts.json").read_text())["categories"]):
    for option, text in enumerate(category["texts"][:4]):
        put("tokenizer", f"text-{number}-{option}", bytes([option]) + text.encode())
put("tokenizer", "broken", b"\x01a\xe4\xbd\xff\xed\xa0\x80<|im_end|>\xf0\x9f\x98")

tiny = json.loads((FIXTURES / "models" / "tiny" / "tokenizer.json").read_text())
symbols = [text for text in tiny["model"]["vocab"] if len(text) == 1]
pairs = [pair if isinstance(pair, list) else pair.split() for pair in tiny["model"]["merges"]]
merges = [pair for pair in pairs if len(pair[0]) == len(pair[1]) == 1][:8]
tokens = symbols + ["".join(pair) for pair in merges]
tiny["model"].update(vocab={text: id for id, text in enumerate(tokens)}, merges=merges)
tiny["added_tokens"] = [{**tiny["added_tokens"][0], "id": len(tokens) + i, "content": content, "lstrip": i == 0, "rstrip": i == 1,
                         "single_word": i == 1, "normalized": i == 1, "special": i == 0} for i, content in enumerate(["<b>", "\u00e9"])]
put("tokenizer", "file", json.dumps(tiny, ensure_ascii=False))
