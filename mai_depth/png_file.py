"""Writes 16-bit gray PNG a few rows at a time, with a mark that this package wrote it.

Pillow needs the whole picture in memory, twice, and compresses more slowly.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MARK = ("Software", "mai_depth")  # a text chunk of every depth map, also in Pillow's `Image.info`

_LEVEL = 1  # of zlib: level 6 takes three times as long for half the size
_ROW_ABOVE = 2  # the filter that stores differences to the row above: depth is smooth
_HEAD = 512  # bytes, which hold the text chunks


def write_gray16(
    path: str | os.PathLike, size: tuple[int, int], blocks: Iterable[np.ndarray]
) -> None:
    """Writes a 16-bit gray PNG with the mark.

    Args:
        path: The file.
        size: (width, height) of the whole picture.
        blocks: uint16 [rows, width], from top to bottom; some rows each.

    Raises:
        OSError: The file cannot be written.
    """
    with open(path, "wb") as file:
        put_gray16(file, size, blocks)


def put_gray16(file: BinaryIO, size: tuple[int, int], blocks: Iterable[np.ndarray]) -> None:
    """Writes the same as `write_gray16` into an open file or into memory."""
    squeezed = zlib.compressobj(_LEVEL)
    above = np.zeros((1, 2 * size[0]), np.uint8)
    file.write(_SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", *size, 16, 0, 0, 0, 0))
    _write_chunk(file, b"tEXt", "\0".join(MARK).encode("latin-1"))
    for block in blocks:
        rows = block.astype(">u2").view(np.uint8)
        _write_data(file, squeezed.compress(_differences(rows, above).data))
        above = rows[-1:]
    _write_data(file, squeezed.flush())
    _write_chunk(file, b"IEND", b"")


def is_marked(path: str | os.PathLike) -> bool:
    """Tells whether a file is a depth PNG that this package wrote.

    Args:
        path: A file of any kind; an unreadable one is not.

    Returns:
        Whether its header holds the mark.
    """
    if not os.path.isfile(path):  # a pipe would block
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.startswith(_SIGNATURE) and b"tEXt" + "\0".join(MARK).encode("latin-1") in head


def _differences(rows: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The bytes of each row less those of the row above, after the filter's number."""
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _ROW_ABOVE
    np.subtract(rows[:1], above, out=filtered[:1, 1:])
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _write_data(file: BinaryIO, data: bytes) -> None:
    if data:
        _write_chunk(file, b"IDAT", data)


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
