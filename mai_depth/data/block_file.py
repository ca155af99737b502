"""A file of blocks of equal size, each with a checksum: what caches are made of.

Blocks are read, not memory-mapped: reading is as fast, and a file that is truncated while in use
becomes an error that can be reported, where a mapped one would end the process with SIGBUS.
Needs only NumPy.
"""

import os
import pathlib
import struct
import weakref
import zlib
from typing import BinaryIO

import numpy as np

from mai_depth.errors import UserError

_CHECKSUM = struct.Struct("<I")


def append_block(file: BinaryIO, number: int, block: np.ndarray) -> None:
    """Writes the next block and its checksum.

    Args:
        file: Open for writing, at its end.
        number: The block's, from 0; the checksum covers it, so that no block passes for another.
        block: The array, contiguous.
    """
    file.write(block.data)
    file.write(_CHECKSUM.pack(zlib.crc32(block.data, number)))


def keep_whole_blocks(path: pathlib.Path, dtype: str, shape: tuple[int, ...], step: int) -> int:
    """Truncates a file after its last whole block; the process that wrote it was killed.

    Args:
        path: A file of `append_block` that no other process writes.
        dtype: The array's dtype.
        shape: The complete array's shape.
        step: Keep a multiple of this many blocks.

    Returns:
        The number of blocks that are left; the next one is to be appended.

    Raises:
        OSError: It cannot be read or truncated.
    """
    stride = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize + _CHECKSUM.size
    count = min(path.stat().st_size // stride, shape[0]) // step * step
    os.truncate(path, count * stride)
    blocks = BlockFile(path, dtype, (count, *shape[1:]), discard=path)
    for number in range(count):
        try:
            blocks[number]
        except UserError:  # a power cut may leave a file that is longer than what was written
            count = number // step * step
            os.truncate(path, count * stride)
            break
    return count


class BlockFile:
    """An array [N, ...] in a file, indexed like an array; its N blocks are read on demand.

    A block's checksum is verified at its first read only: that takes 1 ms for a VGA picture.
    """

    def __init__(
        self, path: pathlib.Path, dtype: str, shape: tuple[int, ...], discard: pathlib.Path
    ):
        """Opens a file of `append_block`.

        Args:
            path: The file.
            dtype: The array's dtype.
            shape: The array's shape.
            discard: What the user is told to delete if the file is damaged.

        Raises:
            OSError: It cannot be opened.
            ValueError: It has another size.
        """
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)
        self._block_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        self.nbytes = shape[0] * self._block_bytes
        self._path, self._discard = path, discard
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        stride = self._block_bytes + _CHECKSUM.size
        if os.fstat(self._descriptor).st_size != shape[0] * stride:
            raise ValueError(f"{path}: does not have {shape[0]} blocks of {stride} bytes")
        self._is_verified = np.zeros(shape[0], bool)

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple:
        return BlockFile, (self._path, self.dtype.str, self.shape, self._discard)

    def __getitem__(self, key) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(len(self))[first]
        blocks = np.empty((*numbers.shape, *self.shape[1:]), self.dtype)
        flat = blocks.reshape(-1, self._block_bytes // self.dtype.itemsize)
        for number, block in zip(numbers.reshape(-1).tolist(), flat, strict=True):
            self._read(number, block)
        return blocks[(*[slice(None)] * numbers.ndim, *rest)]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def _read(self, number: int, block: np.ndarray) -> None:
        checksum = bytearray(_CHECKSUM.size)
        stride = block.nbytes + len(checksum)
        try:
            count = os.preadv(self._descriptor, [block.data, checksum], number * stride)
        except OSError as error:
            raise self._fault(f"cannot be read ({error.strerror})") from error
        if count != stride:
            raise self._fault("was truncated while in use")
        if not self._is_verified[number]:
            if _CHECKSUM.pack(zlib.crc32(block.data, number)) != checksum:
                raise self._fault(f"block {number} is damaged (its checksum does not match)")
            self._is_verified[number] = True

    def _fault(self, what: str) -> UserError:
        return UserError(f"{self._path}: {what}; delete {self._discard} and run again, it is "
                         "rebuilt")
