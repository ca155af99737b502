"""Focal lengths, from the files of recorders and data sets."""

import pathlib
import re
from collections.abc import Callable

from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

_LIMIT_BYTES = 1 << 20


def find_intrinsics(folder: pathlib.Path, root: pathlib.Path) -> Intrinsics | None:
    """Looks for the camera of a sequence, in its folder and then in those above it.

    Args:
        folder: The sequence's folder.
        root: The last folder to look in.

    Returns:
        The camera; None if there is no known file.

    Raises:
        UserError: The file is there but holds something else.
    """
    for place in (folder, *folder.parents):
        for pattern, read in _FILES.items():
            for path in sorted(place.glob(pattern))[:1]:
                return read_intrinsics(path, read)
        if place == root:
            break
    return None


def read_intrinsics(
    path: pathlib.Path, read: Callable[[pathlib.Path], Intrinsics | None]
) -> Intrinsics | None:
    """Reads a camera from a file, and checks it.

    Args:
        path: The file.
        read: Reads files of its format.

    Returns:
        What `read` returns.

    Raises:
        UserError: It holds something else.
    """
    try:
        found = read(path)
        if found and not (0 < found.focal_px < 1e6 and 0.05 < found.in_widths(found.width_px) < 50):
            raise ValueError(f"a focal length of {found.focal_px:g} of {found.width_px:g} pixels")
    except (OSError, ValueError, IndexError, KeyError, TypeError, ZeroDivisionError) as error:
        raise UserError(f"{path}: no focal length can be read from it ({error}); fix it, or remove "
                        "it and give --focal_length instead") from error
    return found


def read_matrix(path: pathlib.Path) -> Intrinsics:
    """Reads a camera matrix as text, 3x3 or 4x4, by rows, with commas or blanks."""
    numbers = _numbers(path)
    if len(numbers) not in (9, 16):
        raise ValueError(f"{len(numbers)} numbers")
    return Intrinsics(numbers[0], 2 * numbers[2], is_exact=False)


def _read_calibration(path: pathlib.Path) -> Intrinsics | None:
    """ETH3D, beside recordings in the layout of TUM: `fx fy cx cy`. Other files have that name."""
    try:
        focal, _, column, _ = _numbers(path)
    except ValueError:
        return None
    return Intrinsics(focal, 2 * column, is_exact=False)


def read_projection(path: pathlib.Path, camera: str) -> Intrinsics | None:
    """Reads a rectified camera of KITTI's `calib_cam_to_cam.txt`: `P_rect_02: fx 0 cx ...`."""
    for line in path.read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name == f"P_rect_{camera}":
            values = [float(word) for word in numbers.split()]
            return Intrinsics(values[0], 2 * values[2], is_exact=False)
    return None


def _read_pincam(path: pathlib.Path) -> Intrinsics:
    """ARKitScenes: `width height fx fy cx cy`, a file for each frame; they differ by under 1 %."""
    width, _, focal, *_ = _numbers(path)
    return Intrinsics(focal, width)


def _read_open3d(path: pathlib.Path) -> Intrinsics:
    """Open3D's recorders: the matrix by columns, and the size."""
    content = read_json(path)
    return Intrinsics(float(content["intrinsic_matrix"][0]), float(content["width"]))


def read_fx(path: pathlib.Path) -> Intrinsics:
    """Reads a camera of Polycam, a JSON file for each frame: `fx`, `width` and more."""
    content = read_json(path)
    return Intrinsics(float(content["fx"]), float(content["width"]))


def read_metadata(path: pathlib.Path) -> Intrinsics:
    """Reads the camera of a recording of Record3D: the matrix `K` by columns, and the width `w`."""
    content = read_json(path)
    return Intrinsics(float(content["K"][0]), float(content["w"]))


def _read_own(path: pathlib.Path) -> Intrinsics | None:
    """What `mai_depth.data.convert` writes. Other files have that name, too."""
    try:
        content = read_json(path)
    except ValueError:
        return None
    focal = content.get("focal_length") if content.get("kind") == "metric" else None
    return Intrinsics(float(focal), 1.0) if focal else None


def _numbers(path: pathlib.Path) -> list[float]:
    if path.stat().st_size > _LIMIT_BYTES:
        raise ValueError("too long")
    return [float(word) for word in re.split(r"[\s,;]+", path.read_text().strip())]


_FILES: dict[str, Callable[[pathlib.Path], Intrinsics | None]] = {
    "camera_matrix.csv": read_matrix,  # Stray Scanner
    "intrinsic/intrinsic_color.txt": read_matrix,  # ScanNet
    "intrinsic_color.txt": read_matrix,
    "intrinsics_color.txt": read_matrix,  # its 25k frames
    "lowres_wide_intrinsics/*.pincam": _read_pincam,
    "camera_intrinsic.json": _read_open3d,
    "calibration.txt": _read_calibration,
    "dataset.json": _read_own,
}
