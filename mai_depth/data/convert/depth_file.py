"""Depth in metres, from any kind of file that is read."""

import pathlib
import warnings

import numpy as np

from mai_depth.data.convert.array_file import read_array
from mai_depth.data.convert.record3d_file import CONFIDENCE_SUFFIX
from mai_depth.data.convert.record3d_file import DEPTH_SUFFIX
from mai_depth.data.convert.record3d_file import read_record3d
from mai_depth.depth import MAX_UNITS
from mai_depth.depth import clear_missing
from mai_depth.depth import read_depth_units
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError
from mai_depth.picture import open_picture

DEEPEST_M = MAX_UNITS / 1000  # the most that 16 bits in millimetres hold

_NAMES = ("depth", "depth_m", "arr_0")  # of the array in a .npz
_QUALITY_NAMES = ("mask", "depth_mask", "confidence", "arr_0")


def read_depth_m(path: pathlib.Path, units_per_m: float | None = None) -> np.ndarray:
    """Reads a depth map.

    Args:
        path: A 16-bit gray PNG, a TIFF, a .npy, a .npz or a .depth of Record3D.
        units_per_m: File units per metre; None takes integers for millimetres and floats for
            metres.

    Returns:
        float32 [height, width] in metres, 0 = missing, which includes what is not finite, negative,
        or 65535 in 16 bits.

    Raises:
        UserError: Not a depth map, or most of it is implausibly deep.
    """
    stored = _read(path)
    if stored.ndim == 3 and 1 in (stored.shape[0], stored.shape[2]):
        stored = stored.squeeze(axis=0 if stored.shape[0] == 1 else 2)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu" or not stored.size:
        shape = "x".join(map(str, stored.shape)) or "one number"
        raise UserError(f"{path}: holds {shape} of {stored.dtype}, a depth map is height x width "
                        "of numbers; replace the file")
    if stored.dtype == np.uint16:
        clear_missing(stored)
    scale = units_per_m or (1.0 if stored.dtype.kind == "f" else 1000.0)
    depth_m = (stored / scale).astype(np.float32)
    depth_m[~valid_mask(depth_m)] = 0
    _check_unit(path, depth_m)
    return depth_m


def clear_poor(depth_m: np.ndarray, quality: pathlib.Path, least: int) -> None:
    """Makes depth missing where its quality is too low.

    Args:
        depth_m: [height, width], changed in place.
        quality: A gray 8-bit PNG or a .npy of the same size: DIODE's mask, ARKit's confidence.
        least: The lowest quality that is kept.

    Raises:
        UserError: It cannot be read, or has another size.
    """
    if quality.suffix.lower() in (".npy", ".npz"):
        values = read_array(quality, _QUALITY_NAMES).squeeze()
    elif quality.suffix == CONFIDENCE_SUFFIX:
        values = read_record3d(quality)
    else:
        with open_picture(quality, ("PNG",)) as image:
            values = np.array(image)
    if values.shape != depth_m.shape:
        raise UserError(f"{quality}: {'x'.join(map(str, values.shape))}, but its depth map is "
                        f"{'x'.join(map(str, depth_m.shape))}; replace it")
    depth_m[values < least] = 0


def _read(path: pathlib.Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return read_array(path, _NAMES)
    if suffix == DEPTH_SUFFIX:
        return read_record3d(path)
    if suffix == ".png":
        with open_picture(path, ("PNG",)):  # checks what its header claims
            return read_depth_units(path)
    return _read_tiff(path)


def _read_tiff(path: pathlib.Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that do not matter
        with open_picture(path, ("TIFF",)) as image:
            values = np.array(image)
    if image.mode not in ("F", "I", "I;16", "I;16B"):
        raise UserError(f"{path}: depth is {image.mode}, expected 32-bit floats in metres or "
                        "16-bit integers; convert the file")
    return values.astype(np.uint16) if image.mode.startswith("I;16") else values


def _check_unit(path: pathlib.Path, depth_m: np.ndarray) -> None:
    """Refuses millimetres that are read as metres: all would silently become missing."""
    measured = depth_m[depth_m > 0]
    if np.count_nonzero(measured > DEEPEST_M) > measured.size / 2:
        raise UserError(
            f"{path}: half of it is deeper than {np.median(measured):.0f} m, and 16 bits in "
            f"millimetres hold at most {DEEPEST_M:g}; if the unit is wrong, give "
            "--depth_units_per_m, e.g. 1000 for millimetres")
