"""The depth contract: metres, float32, 0 = missing.

On disk it is a 16-bit gray PNG in which 0 and 65535 mean missing.

Needs only NumPy and Pillow, so that it runs on a board without TensorFlow.
"""

import io
import os
import pathlib
import struct
import warnings
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice
from mai_depth.picture import Openable
from mai_depth.picture import open_picture
from mai_depth.png_file import put_gray16
from mai_depth.png_file import write_gray16

MIN_DEPTH_M = 0.001  # the challenge's scorer counts a pixel when its depth is more than 1 mm
MISSING_UNITS = 65535  # what many sensors write where they measured nothing
MAX_UNITS = 65534
CANONICAL_FOCAL_LENGTH = 0.811
"""Focal length of NYU Depth V2's camera in picture widths: that of the shipped networks, and the
default for training data that does not give its own."""
INVERSE_DEPTH_DIR = "inverse_depth"  # replaces `depth` where depth has no unit

_ROWS = 16  # at a time: a map of 60 million pixels is 240 MB, 16 rows fit the cache
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


def refuse_inverse_depth(split_dir: pathlib.Path) -> None:
    """Refuses a folder whose labels come from a teacher without a unit.

    Args:
        split_dir: Holds `rgb` and `depth`, or `rgb` and `inverse_depth`.

    Raises:
        UserError: It holds `inverse_depth`.
    """
    if (split_dir / INVERSE_DEPTH_DIR).is_dir() and not (split_dir / "depth").is_dir():
        raise no_unit(split_dir)


def no_unit(split_dir: pathlib.Path) -> UserError:
    """The error for a split without metres where they are needed."""
    return UserError(f"{split_dir}: holds {INVERSE_DEPTH_DIR}, which has no unit, but metres "
                     "are needed; label the pictures again with a metric --teacher as well")


def read_depth_units(path: str | os.PathLike | Openable) -> np.ndarray:
    """Reads a depth PNG as it is stored.

    The header is read first, because decoders silently turn an 8-bit, palette or RGB file into
    numbers.

    Args:
        path: A 16-bit gray PNG.

    Returns:
        uint16 [height, width]; missing pixels still hold their code, see `clear_missing`.

    Raises:
        UserError: Not a PNG, not 16-bit gray, truncated or too large.
    """
    path = pathlib.Path(path) if isinstance(path, (str, os.PathLike)) else path
    _check_header(path)
    with open_picture(path, ("PNG",)) as image:
        return np.asarray(image).astype(np.uint16)


def clear_missing(units: np.ndarray, missing_value: int | None = None) -> int:
    """Sets the codes that mean missing to 0.

    Args:
        units: uint16, any shape; changed in place.
        missing_value: Another code besides 0 and 65535, or None.

    Returns:
        The number of pixels with such a code other than 0.
    """
    coded = units == MISSING_UNITS
    if missing_value:
        coded |= units == missing_value
    units[coded] = 0
    return int(np.count_nonzero(coded))


def missing_line(pixels: int, maps: int) -> str:
    """The message about pixels that `clear_missing` has cleared."""
    return (f"{pixels} pixels of {maps} depth maps hold {MISSING_UNITS} or --missing_depth_value "
            "and count as missing")


def read_depth(
    path: str | os.PathLike | Openable, units_per_m: float = 1000.0,
    missing_value: int | None = None,
) -> np.ndarray:
    """Reads a depth PNG in metres.

    Args:
        path: A 16-bit gray PNG.
        units_per_m: File units per metre; 1000 for millimetres.
        missing_value: See `clear_missing`.

    Returns:
        float32 [height, width] in metres, 0 = missing.

    Raises:
        UserError: As `read_depth_units`.
    """
    units = read_depth_units(path)
    clear_missing(units, missing_value)
    return units.astype(np.float32) / np.float32(units_per_m)


def write_depth(
    path: str | os.PathLike, depth_m: np.ndarray, units_per_m: float = 1000.0
) -> None:
    """Writes depth as a 16-bit gray PNG, atomically.

    Args:
        path: The file to write.
        depth_m: [height, width] in metres; invalid pixels (see `valid_mask`) become 0. Depth
            beyond the format's limit (65.534 m at 1000 units per metre; the highest code means
            missing) is clipped to it, with a warning.
        units_per_m: File units per metre.
    """
    depth_m = np.asarray(depth_m)
    height, width = depth_m.shape
    rows = (depth_m[top : top + _ROWS] for top in range(0, height, _ROWS))
    _warn_of_beyond(_write_rows(path, (width, height), rows, units_per_m), path, units_per_m)


def depth_png(depth_m: np.ndarray) -> bytes:
    """Returns the bytes of a depth PNG in millimetres; depth beyond 65.534 m is clipped.

    Args:
        depth_m: [height, width] in metres, 0 = missing.
    """
    units = np.rint(1000.0 * np.where(valid_mask(depth_m), depth_m, 0.0))
    file = io.BytesIO()
    height, width = units.shape
    put_gray16(file, (width, height), [np.minimum(units, MAX_UNITS).astype(np.uint16)])
    return file.getvalue()


def write_depth_rows(
    path: str | os.PathLike, size: tuple[int, int], blocks: Iterable[np.ndarray],
    units_per_m: float = 1000.0,
) -> None:
    """Writes depth that does not fit into memory, see `write_depth`.

    Args:
        path: The file to write.
        size: (width, height) of the whole map.
        blocks: [rows, width] in metres, from top to bottom.
        units_per_m: File units per metre.
    """
    _warn_of_beyond(_write_rows(path, size, blocks, units_per_m), path, units_per_m)


def _write_rows(
    path: str | os.PathLike, size: tuple[int, int], blocks: Iterable[np.ndarray],
    units_per_m: float,
) -> int:
    """Writes as `write_depth_rows` and returns the number of pixels that had to be clipped."""
    beyond = 0

    def encoded() -> Iterator[np.ndarray]:
        nonlocal beyond
        for depth_m in blocks:
            units = np.where(valid_mask(depth_m), depth_m, 0.0)
            units *= units_per_m
            np.rint(units, out=units)
            beyond += int(np.count_nonzero(units > MAX_UNITS))
            yield np.minimum(units, MAX_UNITS, out=units).astype(np.uint16)

    with atomic_path(path) as temporary:
        write_gray16(temporary, size, encoded())
    return beyond


def _warn_of_beyond(pixels: int, path: str | os.PathLike, units_per_m: float) -> None:
    if pixels:
        warnings.warn(
            f"{path}: {pixels} pixels are deeper than {MAX_UNITS / units_per_m:g} m, the most "
            "that 16 bits hold, and are clipped to it; --write=npy keeps them",
            UserNotice,
            stacklevel=3,  # the caller of the writing function
        )


def _check_header(path: pathlib.Path | Openable) -> None:
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
