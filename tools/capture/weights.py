"""A checkpoint's weights as numpy arrays of f32, one at a time."""
import math
from pathlib import Path

import numpy as np

from capture.errors import CaptureError
from capture.weight_hash import UNREADABLE, read_header, weight_files

STORED = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


class Weights:
    """Where each tensor lies, and its values; dtypes of 16 bits become f32, which is exact."""

    def __init__(self, directory):
        self._directory = Path(directory)
        self._places = {}  # by name: path, first byte, header's entry
        for path in weight_files(directory):
            try:
                with path.open("rb") as file:
                    start, entries = read_header(file)
                self._places.update({name: (path, start + entry["data_offsets"][0], entry) for name, entry in entries.items()})
            except UNREADABLE as error:
                raise CaptureError(f"{path}: cannot be read as safetensors ({error})") from error
        if not self._places:
            raise CaptureError(f"{directory}: has neither model.safetensors nor model.safetensors.index.json")

    def shape(self, name):
        return tuple(self._place(name)[2]["shape"])

    def read(self, name):
        path, begin, entry = self._place(name)
        stored = STORED[entry["dtype"]]
        try:
            values = np.fromfile(path, stored, math.prod(entry["shape"]), offset=begin).reshape(entry["shape"])
        except UNREADABLE as error:
            raise CaptureError(f"{path}: {name} cannot be read ({error})") from error
        if entry["dtype"] == "BF16":  # the upper half of an f32's bits
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def _place(self, name):
        if name not in self._places:
            raise CaptureError(f"{self._directory}: has no weight {name}")
        place = self._places[name]
        if place[2]["dtype"] not in STORED:
            raise CaptureError(f"{self._directory}: {name} is {place[2]['dtype']}; F32, F16 and BF16 can be converted")
        return place
