"""What spoils a copy of a checkpoint. Each function here makes a breaker, which is given the checkpoint's directory."""
import json
import os
import shutil
import struct

DEEP = 10_000


def weights(model):
    return model / "model.safetensors"


def read_safetensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_safetensors(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def config(**fields):
    def breaker(model):
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return breaker


def raw_config(field, text):
    """A field as text, for what Python's json would not write."""
    def breaker(model):
        config(**{field: "@"})(model)
        path = model / "config.json"
        path.write_text(path.read_text().replace('"@"', text))
    return breaker


def write(name, content):
    return lambda model: (model / name).write_bytes(content)


def header(change):
    """change(header, data) edits the header in place, and may return other data or None."""
    def breaker(model):
        entries, data = read_safetensors(weights(model))
        changed = change(entries, data)
        write_safetensors(weights(model), entries, data if changed is None else changed)
    return breaker


def raw_header(change):
    def breaker(model):
        entries, data = read_safetensors(weights(model))
        write_safetensors(weights(model), change(json.dumps(entries)).encode(), data)
    return breaker


def value(name, number):
    """The last value of a tensor."""
    def change(entries, data):
        end = entries[name]["data_offsets"][1]
        return data[:end - 4] + struct.pack("<f", number) + data[end:]
    return header(change)


def stored_head(change):
    """The head of a tied model stored beside its embedding, with the bytes that change(bytes of the embedding) returns."""
    def store(entries, data):
        embedding = entries["model.embed_tokens.weight"]
        begin, end = embedding["data_offsets"]
        entries["lm_head.weight"] = {**embedding, "data_offsets": [len(data), len(data) + end - begin]}
        return data + change(data[begin:end])
    return header(store)


def sparse(name, size, start):
    """A file that claims `size` bytes and takes none of the disk."""
    def breaker(model):
        (model / name).write_bytes(start)
        os.truncate(model / name, size)
    return breaker


def shorten(size):
    return lambda model: os.truncate(weights(model), size(weights(model).stat().st_size))


def directory_instead(name):
    def breaker(model):
        (model / name).unlink(missing_ok=True)
        (model / name).mkdir()
    return breaker


def pipe_instead(name):
    def breaker(model):
        (model / name).unlink()
        os.mkfifo(model / name)
    return breaker


def index(change):
    """The checkpoint as one shard with an index, whose text change(map) returns, or changes in place."""
    def breaker(model):
        entries, _ = read_safetensors(weights(model))
        weights(model).rename(model / "shard.safetensors")
        shutil.copy(model / "shard.safetensors", model.parent / "outside.safetensors")
        places = {name: "shard.safetensors" for name in entries if name != "__metadata__"}
        text = change(places)
        path = model / "model.safetensors.index.json"
        path.write_text(text if isinstance(text, str) else json.dumps({"metadata": {}, "weight_map": places}))
    return breaker


def two_shards(change):
    """The checkpoint in two shards; change(entries and data of the first, of the second) spoils them."""
    def breaker(model):
        entries, data = read_safetensors(weights(model))
        entries.pop("__metadata__", None)
        names = sorted(entries)
        shards = []
        for part in (names[::2], names[1::2]):
            shard, packed = {}, b""
            for name in part:
                begin, end = entries[name]["data_offsets"]
                shard[name] = {**entries[name], "data_offsets": [len(packed), len(packed) + end - begin]}
                packed += data[begin:end]
            shards.append([shard, packed])
        places = {name: f"{i}.safetensors" for i, (shard, _) in enumerate(shards) for name in shard}
        change(shards, places)
        for i, (shard, packed) in enumerate(shards):
            write_safetensors(model / f"{i}.safetensors", shard, packed)
        weights(model).unlink()
        (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return breaker


def nested(before="", after="", opening="[", closing="]", depth=DEEP):
    return (before + opening * depth + closing * depth + after).encode()
