"""Reads the tensors of an early PyTorch `.pth` file (before the zip format) without PyTorch.

Format: five pickles (magic number, version, system, the dictionary of tensors, the keys of the
storages), then for each storage an int64 count and its little-endian numbers. A pickle can run
anything, so this one may name the five functions that build a dictionary of tensors and no other.
"""

import collections
import os
import pathlib
import pickle
from typing import Any
from typing import BinaryIO

import numpy as np

from mai_depth.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


def read_torch_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a dictionary of tensors.

    Args:
        path: A `.pth` file that `torch.save(model.state_dict())` of PyTorch before 1.6 has written.

    Returns:
        Arrays by name.

    Raises:
        UserError: The file is missing, of another format, cut short, or names other code.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise UserError(
            f"{path}: not a PyTorch file of plain tensors ({error}); fetch it again") from error


class _Tensors(pickle.Unpickler):
    """Unpickles tensors and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Place
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, saved: tuple) -> tuple[type, str]:
        _, storage, key, *_ = saved
        return _DTYPES[storage], key


class _Place:
    """Where a tensor lies: its storage, the offset in it, its shape, its strides in numbers."""

    def __init__(
        self, storage: tuple[type, str], offset: int, shape: tuple[int, ...],
        strides: tuple[int, ...], *_: Any
    ):
        self.dtype, self.key = storage
        self.offset, self.shape, self.strides = offset, shape, strides

    def read(self, storage: np.ndarray) -> np.ndarray:
        """Takes the tensor out of its storage, in rows; a stride out of bounds raises."""
        index = np.full(self.shape, self.offset, np.int64)
        for position, stride in zip(np.indices(self.shape), self.strides, strict=True):
            index += stride * position
        return storage[index]


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, _, _, places, keys = (_Tensors(file).load() for _ in range(5))
    if magic != _MAGIC:
        raise ValueError("another format")
    dtypes = {place.key: place.dtype for place in places.values()}
    storages = {}
    for key in keys:
        (count,) = np.frombuffer(file.read(8), "<i8")
        size = count * np.dtype(dtypes[key]).itemsize
        storages[key] = np.frombuffer(file.read(size), dtypes[key], count)
    return {name: place.read(storages[place.key]) for name, place in places.items()}
