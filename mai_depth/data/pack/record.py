"""One record of a packed folder: the bytes of the two files of a pair, unchanged."""

import io
import os
import pathlib
import struct
from typing import BinaryIO
from typing import NamedTuple
from typing import cast

from mai_depth.errors import UserError

_HEAD = struct.Struct("<HHI")  # bytes of the picture's name, of the depth map's, of the picture


class HeldFile:
    """A file whose bytes are in memory; what reads pictures takes it instead of a path.

    Args:
        origin: Where it comes from, for messages.
        data: Its bytes.
    """

    def __init__(self, origin: str, data: bytes):
        self._origin = origin
        self._data = data

    @classmethod
    def read(cls, path: str | os.PathLike) -> "HeldFile":
        """Reads a file; raises `UserError` if that fails or it is empty."""
        try:
            data = pathlib.Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); was it changed meanwhile?"
                            ) from error
        if not data:
            raise UserError(f"{path}: the file is empty; replace it")
        return cls(str(path), data)

    def __str__(self) -> str:
        return self._origin

    def read_bytes(self) -> bytes:
        """Returns the bytes."""
        return self._data

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens it for reading."""
        # Pillow reads and peeks; it needs neither a name nor a descriptor.
        return cast(BinaryIO, io.BufferedReader(io.BytesIO(self._data)))


class Record(NamedTuple):
    """A pair: the names of its files, with their suffixes, and their bytes."""

    rgb_name: str
    depth_name: str
    rgb: bytes
    depth: bytes


def encode(record: Record) -> bytes:
    """Returns the bytes of a record."""
    names = os.fsencode(record.rgb_name), os.fsencode(record.depth_name)
    head = _HEAD.pack(*map(len, names), len(record.rgb))
    return b"".join((head, *names, record.rgb, record.depth))


def decode(data: bytes) -> Record:
    """Returns the record of `encode`'s bytes.

    Args:
        data: The bytes.

    Raises:
        ValueError: They are not such a record.
    """
    if len(data) < _HEAD.size:
        raise ValueError("not a record of a pair")
    sizes = _HEAD.unpack_from(data)
    parts, start = [], _HEAD.size
    for size in sizes:
        parts.append(data[start : start + size])
        start += size
    if start >= len(data):
        raise ValueError("not a record of a pair")
    return Record(os.fsdecode(parts[0]), os.fsdecode(parts[1]), parts[2], data[start:])
