"""The table of broken checkpoints: what is broken, how, and the words that every refusal must hold.

A row's breaker gets a copy of the tiny checkpoint and spoils it. Both engines' lines must hold all of `words`; a|b is
either.
"""
import struct
from collections import namedtuple

from breakers import (config, directory_instead, header, index, nested, pipe_instead, raw_config, raw_header, shorten,
                      sparse, stored_head, two_shards, value, weights, write)

Row = namedtuple("Row", "what breaker words")

NORM = "model.norm.weight"
LARGE = b'{"%s": {"dtype": "F32", "shape": [%d], "data_offsets": [0, %d]}}' % (NORM.encode(), 50 << 30, 200 << 30)
Q_BIAS = "model.layers.1.self_attn.q_proj.bias"


def in_both_shards(shards, places):
    (_, _), (second, data) = shards
    second[next(iter(shards[0][0]))] = {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}


def doubled_tensor(text):
    return text.replace("{", '{"%s": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, ' % NORM, 1)


CONFIG = [
    Row("no config", lambda model: (model / "config.json").unlink(), ["config.json"]),
    Row("a config cut short", write("config.json", b'{"model_type": "qwen2", '), ["config.json", "JSON"]),
    Row("an empty config", write("config.json", b""), ["config.json", "JSON"]),
    Row("a config that is a list", write("config.json", b"[1]"), ["config.json", "JSON object"]),
    Row("a config of bytes that are no text", write("config.json", b'{"a": "\xff\xfe"}'), ["config.json", "JSON"]),
    Row("a config that nests too deep", write("config.json", nested('{"a": ', "}")), ["config.json", "deep"]),
    Row("objects that nest too deep", write("config.json", nested('{"a": 0, "b": ', "}", '{"a":', "0" + "}")[:-1]),
        ["config.json"]),
    Row("a field twice", raw_config("vocab_size", '1024, "vocab_size": 1024'), ["config.json", "vocab_size", "twice"]),
    Row("a directory for a config", directory_instead("config.json"), ["config.json"]),
    Row("a pipe for a config", pipe_instead("config.json"), ["config.json"]),
    Row("another architecture", config(architectures=["LlamaForCausalLM"]), ["architectures", "LlamaForCausalLM"]),
    Row("another model type", config(model_type="llama"), ["model_type", "llama"]),
    Row("another activation", config(hidden_act="gelu"), ["hidden_act", "gelu"]),
    Row("heads not divisible by kv heads", config(num_key_value_heads=4), ["num_attention_heads", "4"]),
    Row("a size of 0", config(num_attention_heads=0), ["num_attention_heads", "0"]),
    Row("kv heads of 0", config(num_key_value_heads=0), ["num_key_value_heads", "0"]),
    Row("a negative size", config(hidden_size=-64), ["hidden_size", "-64"]),
    Row("10^12 layers", config(num_hidden_layers=10**12), ["num_hidden_layers", "1000000000000"]),
    Row("a vocabulary of 2^64 - 1", config(vocab_size=2**64 - 1), ["vocab_size", "18446744073709551615"]),
    Row("a width of 10^30", config(intermediate_size=10**30), ["intermediate_size"]),
    Row("a size in text", config(hidden_size="64"), ["hidden_size", "64"]),
    Row("a size with a fraction", config(hidden_size=64.5), ["hidden_size", "64.5"]),
    Row("an odd head_dim", config(head_dim=13), ["head_dim", "13"]),
    Row("eps 0", config(rms_norm_eps=0), ["rms_norm_eps"]),
    Row("a negative eps", config(rms_norm_eps=-1e-6), ["rms_norm_eps"]),
    Row("eps NaN", raw_config("rms_norm_eps", "NaN"), ["config.json", "JSON"]),
    Row("eps NaN as text", config(rms_norm_eps="NaN"), ["rms_norm_eps", "NaN"]),
    Row("eps 1e999", raw_config("rms_norm_eps", "1e999"), ["config.json", "1e999"]),
    Row("eps too large for any norm", config(rms_norm_eps=1e30), ["rms_norm_eps"]),
    Row("a flag as a number", config(tie_word_embeddings=1), ["tie_word_embeddings"]),
    Row("layer_types of another length", config(layer_types=["full_attention"]), ["layer_types"]),
    Row("an unknown rope type", config(rope_scaling={"rope_type": "longrope"}), ["longrope"]),
    Row("rope_theta 0", config(rope_theta=0, rope_parameters=None), ["rope_theta"]),
    Row("a list of a million as a size", config(hidden_size=[1] * 1_000_000), ["hidden_size"]),
]

SAFETENSORS = [
    Row("no weights", lambda model: weights(model).unlink(), ["model.safetensors"]),
    Row("an empty file", shorten(lambda size: 0), ["model.safetensors"]),
    Row("cut in the length", shorten(lambda size: 5), ["model.safetensors"]),
    Row("cut in the header", shorten(lambda size: 900), ["model.safetensors", "header"]),
    Row("cut in the data", shorten(lambda size: size // 2), ["model.safetensors", "cut short|truncated"]),
    Row("cut by a byte", shorten(lambda size: size - 1), ["model.safetensors", "cut short|truncated"]),
    Row("a header longer than the file", write("model.safetensors", struct.pack("<Q", 1 << 60) + b"{}"),
        ["model.safetensors", "header", str(1 << 60)]),
    Row("a header of 2^64 - 1 bytes", write("model.safetensors", b"\xff" * 8 + b"{}"), ["model.safetensors", "header"]),
    Row("a header of 100 GB in a sparse file", sparse("model.safetensors", 200 << 30, struct.pack("<Q", 100 << 30)),
        ["model.safetensors", "header", str(100 << 30)]),
    Row("a tensor of 200 GB in a sparse file", sparse("model.safetensors", 8 + len(LARGE) + (200 << 30),
                                                      struct.pack("<Q", len(LARGE)) + LARGE),
        ["model.embed_tokens.weight"]),
    Row("a tied head that differs from the embedding", stored_head(lambda data: data[:-4] + struct.pack("<f", 1.5)),
        ["lm_head.weight", "differs from the embedding that config.json ties it to", "tie_word_embeddings"]),
    Row("a tied head of another shape", header(lambda entries, data: entries.update(
        {"lm_head.weight": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}})),
        ["lm_head.weight", "shape"]),
    Row("a header that is not JSON", write("model.safetensors", struct.pack("<Q", 4) + b"{a:}"), ["header", "JSON"]),
    Row("a header that is a list", write("model.safetensors", struct.pack("<Q", 2) + b"[]"), ["header", "JSON object"]),
    Row("a header that nests too deep", raw_header(lambda text: text[:-1] + nested(', "x": ', "}").decode()),
        ["model.safetensors", "header", "deep"]),
    Row("overlapping tensors", header(lambda entries, data: entries[NORM].update(
        data_offsets=[at - 4 for at in entries[NORM]["data_offsets"]])), ["model.safetensors", "overlap|hole|gap"]),
    Row("offsets out of bounds", header(lambda entries, data: entries[NORM].update(
        data_offsets=[1 << 40, (1 << 40) + 480])), [NORM]),
    Row("offsets the wrong way round", header(lambda entries, data: entries[NORM]["data_offsets"].reverse()), [NORM]),
    Row("negative offsets", header(lambda entries, data: entries[NORM].update(data_offsets=[-480, 0])), [NORM]),
    Row("a size that is not shape x dtype", header(lambda entries, data: entries[NORM].update(shape=[121])), [NORM]),
    Row("a shape whose product overflows", header(lambda entries, data: entries[NORM].update(shape=[1 << 33] * 2)),
        [NORM, "shape"]),
    Row("bytes after the last tensor", header(lambda entries, data: data + b"1234"), ["model.safetensors", "4 bytes"]),
    Row("a missing tensor", header(lambda entries, data: entries.update(
        {"model.layers.2.mlp.typo_proj.weight": entries.pop("model.layers.2.mlp.up_proj.weight")})),
        ["model.layers.2.mlp.up_proj.weight|model.layers.2.mlp.typo_proj.weight"]),
    Row("a tensor twice", raw_header(doubled_tensor), [NORM, "twice"]),
    Row("an extra tensor", header(lambda entries, data: entries.update(
        {"model.extra": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}})), ["model.extra"]),
    Row("a wrong shape", header(lambda entries, data: entries["model.layers.1.self_attn.k_proj.weight"]["shape"]
                                .reverse()), ["model.layers.1.self_attn.k_proj.weight", "shape"]),
    Row("integers as weights", header(lambda entries, data: entries[NORM].update(dtype="I32")), [NORM]),
    Row("an unknown dtype", header(lambda entries, data: entries[NORM].update(dtype="F4")), [NORM, "F4"]),
    Row("NaN in a norm", value(NORM, float("nan")), [NORM, "NaN"]),
    Row("infinity in a bias", value(Q_BIAS, float("inf")), [Q_BIAS, "infinity"]),
    Row("NaN in the embedding", value("model.embed_tokens.weight", float("nan")),
        ["model.embed_tokens.weight", "NaN"]),
    Row("a directory for weights", directory_instead("model.safetensors"), ["model.safetensors"]),
    Row("a pipe for weights", pipe_instead("model.safetensors"), ["model.safetensors"]),
    Row("another width than the config's", config(intermediate_size=1024), ["shape", "mlp"]),
]

INDEX = [
    Row("an index that names a missing shard", index(lambda places: places.update({NORM: "none.safetensors"})),
        ["none.safetensors"]),
    Row("a path above the directory", index(lambda places: places.update({NORM: "../outside.safetensors"})),
        ["../outside.safetensors"]),
    Row("an absolute path", index(lambda places: places.update({NORM: "/etc/passwd"})), ["/etc/passwd"]),
    Row("a shard that is the directory", index(lambda places: places.update({NORM: "."})), ["index.json", "'.'"]),
    Row("a shard that is a number", index(lambda places: places.update({NORM: 1})), ["index.json"]),
    Row("a tensor that its shard lacks", index(lambda places: places.update({"model.none": "shard.safetensors"})),
        ["model.none"]),
    Row("a tensor in two shards", two_shards(in_both_shards), ["safetensors|model", "is in two files"]),
    Row("a tensor in a shard that no model has", two_shards(lambda shards, places: shards[0][0].update(
        {"model.extra": {"dtype": "F32", "shape": [0], "data_offsets": [len(shards[0][1])] * 2}})), ["model.extra"]),
    Row("no weight_map", index(lambda places: "{}"), ["index.json", "weight_map"]),
    Row("an index that is not JSON", index(lambda places: "{"), ["index.json", "JSON"]),
    Row("an index that nests too deep", index(lambda places: nested('{"weight_map": ', "}").decode()),
        ["index.json", "deep"]),
    Row("a tensor placed twice", index(lambda places: '{"weight_map": {"a": "b", "a": "c"}}'), ["index.json", "twice"]),
]

# Odd, and sound all the same: read by both sides alike, and they compute what they do of the checkpoint itself.
SOUND = [
    Row("a tied head stored too", stored_head(lambda data: data), []),
    Row("no generation_config.json", lambda model: (model / "generation_config.json").unlink(), []),
    Row("two shards", two_shards(lambda shards, places: None), []),
    Row("a tensor that the index does not name", two_shards(lambda shards, places: places.pop(NORM)), []),
    Row("a rotary table that is stored", header(lambda entries, data: entries.update(
        {"model.layers.0.self_attn.rotary_emb.inv_freq": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}})),
        []),
]

# Asked of what reads the tokenizer.
TOKENIZER = [
    Row("a tokenizer cut short", write("tokenizer.json", b'{"model":'), ["tokenizer.json", "JSON"]),
    Row("a tokenizer that nests too deep", write("tokenizer.json", nested('{"model": ', "}")),
        ["tokenizer.json", "deep"]),
    Row("a tokenizer without a model", write("tokenizer.json", b"{}"), ["tokenizer.json"]),
    Row("a directory for a tokenizer", directory_instead("tokenizer.json"), ["tokenizer.json"]),
    Row("a tokenizer of another kind", write("tokenizer.json", b'{"model": {"type": "Unigram"}}'), ["tokenizer.json"]),
]
