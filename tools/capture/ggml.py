"""ggml's tensors in memory, as numpy arrays."""
import ctypes
import struct

import numpy as np

from capture.errors import CaptureError

DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 26: np.dtype("<i4")}  # enum ggml_type: F32, F16, I32


class Tensor(ctypes.Structure):
    """struct ggml_tensor, of ggml.h."""


Tensor._fields_ = [
    ("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int), ("op_params", ctypes.c_ubyte * 64), ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(Tensor) * 10), ("view_src", ctypes.c_void_p), ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64)]


class Library:
    """The functions of ggml that tell what the structure means here."""

    def __init__(self, library):
        self._functions = {}
        for name, kind, argument in (("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p),
                                     ("ggml_get_data", ctypes.c_void_p, ctypes.c_void_p),
                                     ("ggml_op_name", ctypes.c_char_p, ctypes.c_int)):
            self._functions[name] = getattr(library, name)
            self._functions[name].restype, self._functions[name].argtypes = kind, [argument]

    def tensor(self, address):
        """The tensor at an address; CaptureError where its structure is not the one known here."""
        tensor = Tensor.from_address(address)
        if (self._functions["ggml_get_name"](address), self._functions["ggml_get_data"](address)) != (tensor.name, tensor.data):
            raise CaptureError("this llama_cpp lays out its tensors in another way than the one known here (0.3.36's)")
        return tensor

    def op(self, tensor):
        return self._functions["ggml_op_name"](tensor.op).decode()


def name_of(tensor):
    return tensor.name.decode(errors="replace")


def sources(tensor):
    return [pointer.contents for pointer in tensor.src if pointer]


def read(tensor):
    """A copy of its values; the slowest axis first, which is ggml's last."""
    if tensor.type not in DTYPES or not tensor.data:
        raise CaptureError(f"{name_of(tensor)}: of a type that is not read here ({tensor.type}), or without data")
    shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    dtype = DTYPES[tensor.type]
    extent = sum((size - 1) * stride for size, stride in zip(shape, strides)) + dtype.itemsize
    memory = (ctypes.c_ubyte * extent).from_address(tensor.data)
    return np.ndarray(shape, dtype, memory, strides=strides).copy()


def scale_of(soft_max):
    """What SOFT_MAX multiplies its input by, as an f32."""
    return np.float32(struct.unpack_from("<f", bytes(soft_max.op_params))[0])
