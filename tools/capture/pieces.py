"""One forward call whose tokens llama.cpp took in pieces (n_ubatch): each piece saw the tokens before it and its own."""
import numpy as np


def is_cache(name):
    return name.startswith("past_key_values.")


def has_keys(name):
    """Its last axis counts keys, the one before it queries."""
    return name == "attention_mask" or name.endswith((".scores", ".probs"))


def join(pieces):
    """One dictionary of arrays by probe, of dictionaries of the pieces; keys that a piece could not see are 0, or not allowed."""
    last = pieces[-1]
    return {name: last[name] if is_cache(name) else joined(name, [piece[name] for piece in pieces])
            for name in last if all(name in piece for piece in pieces)}


def joined(name, arrays):
    if not has_keys(name):
        return np.concatenate(arrays)
    keys = arrays[-1].shape[-1]
    widened = [np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, keys - array.shape[-1])]) for array in arrays]
    return np.concatenate(widened, axis=-2)
