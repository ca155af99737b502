"""The depth contract: metres, float32, 0 = missing; on disk a 16-bit gray PNG.

Needs NumPy and Pillow alone, so that it runs on a board without TensorFlow.
"""

import os
import pathlib
import struct
from collections.abc import Iterable

import numpy as np
from PIL import Image

from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.png_file import write_gray16

MIN_DEPTH_M = 0.001  # the challenge's scorer counts a pixel when its depth is more than 1 mm
MAX_UNITS = 65535

_ROWS = 16  # at a time: of 60 million pixels a map is 240 MB, and 16 rows stay in the cache
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray + alpha", 6: "RGBA"}


def valid_mask(depth_m: np.ndarray) -> np.ndarray:
    """Tells where depth was measured.

    Args:
        depth_m: Depth in metres, any shape.

    Returns:
        Booleans of the same shape: finite and more than 1 mm.
    """
    depth_m = np.asarray(depth_m)
    return np.isfinite(depth_m) & (depth_m > MIN_DEPTH_M)


def read_depth_units(path: str | os.PathLike) -> np.ndarray:
    """Reads a depth PNG as it is stored.

    The header is read first, because decoders turn an 8-bit, palette or RGB file into numbers
    without a word.

    Args:
        path: A 16-bit gray PNG.

    Returns:
        uint16 [height, width], 0 = missing.

    Raises:
        UserError: Not a PNG, not 16-bit gray, or truncated.
    """
    path = pathlib.Path(path)
    _check_header(path)
    try:
        with Image.open(path) as image:
            return np.asarray(image).astype(np.uint16)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: the picture is broken ({error}); replace the file") from error


def read_depth(path: str | os.PathLike, units_per_m: float = 1000.0) -> np.ndarray:
    """Reads a depth PNG in metres.

    Args:
        path: A 16-bit gray PNG.
        units_per_m: File units in a metre; 1000 for millimetres.

    Returns:
        float32 [height, width] in metres, 0 = missing.

    Raises:
        UserError: As `read_depth_units`.
    """
    return read_depth_units(path).astype(np.float32) / np.float32(units_per_m)


def write_depth(
    path: str | os.PathLike, depth_m: np.ndarray, units_per_m: float = 1000.0
) -> None:
    """Writes depth as a 16-bit gray PNG, atomically.

    Args:
        path: The file to write.
        depth_m: [height, width] in metres; what is not valid (see `valid_mask`) becomes 0.
            What the format cannot hold (65.535 m at 1000 units per metre) becomes its maximum.
        units_per_m: File units in a metre.
    """
    depth_m = np.asarray(depth_m)
    height, width = depth_m.shape
    rows = (depth_m[top : top + _ROWS] for top in range(0, height, _ROWS))
    write_depth_rows(path, (width, height), rows, units_per_m)


def write_depth_rows(
    path: str | os.PathLike, size: tuple[int, int], blocks: Iterable[np.ndarray],
    units_per_m: float = 1000.0,
) -> None:
    """Writes depth that is not in memory as a whole, see `write_depth`.

    Args:
        path: The file to write.
        size: (width, height) of the whole map.
        blocks: [rows, width] in metres, from top to bottom.
        units_per_m: File units in a metre.
    """
    with atomic_path(path) as temporary:
        write_gray16(temporary, size, (_units(rows, units_per_m) for rows in blocks))


def _units(depth_m: np.ndarray, units_per_m: float) -> np.ndarray:
    units = np.where(valid_mask(depth_m), depth_m, 0.0)
    units *= units_per_m
    np.rint(units, out=units)
    return np.minimum(units, MAX_UNITS, out=units).astype(np.uint16)


def _check_header(path: pathlib.Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if len(head) < 26 or head[:8] != _PNG_SIGNATURE or head[12:16] != b"IHDR":
        raise UserError(f"{path}: not a PNG file; depth is stored as 16-bit gray PNG")
    bits, color = struct.unpack("BB", head[24:26])
    if (bits, color) != (16, 0):
        kind = _COLOR_TYPES.get(color, f"type {color}")
        raise UserError(
            f"{path}: depth is {bits}-bit {kind}, expected 16-bit gray PNG; convert the file "
            "(depth in units of --depth_units_per_m, 0 = missing)"
        )
