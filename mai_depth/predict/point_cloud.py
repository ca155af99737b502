"""Depth as a cloud of coloured points in a .ply file."""

import math
import os

import numpy as np

from mai_depth.atomic import write_bytes_atomic
from mai_depth.depth import valid_mask

_VERTEX = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"),
                    ("red", "u1"), ("green", "u1"), ("blue", "u1")])


def point_cloud(rgb: np.ndarray, depth_m: np.ndarray, field_of_view_deg: float) -> np.ndarray:
    """Puts every pixel with depth where a pinhole camera saw it.

    `z = depth; x = (u - cx) / f * z; y = (v - cy) / f * z`, with the principal point in the middle
    and `f = longer side / (2 tan(field of view / 2))`.

    Args:
        rgb: uint8 [height, width, 3].
        depth_m: [height, width] in metres along the optical axis, 0 = missing.
        field_of_view_deg: Angle that the camera sees along the longer side of the picture.

    Returns:
        One record for each valid pixel: x to the right, y down, z forward in metres (the optical
        frame of OpenCV and ROS), red, green, blue.
    """
    height, width = depth_m.shape
    focal = max(height, width) / (2 * math.tan(math.radians(field_of_view_deg) / 2))
    rows, columns = np.nonzero(valid_mask(depth_m))
    points = np.empty(rows.size, _VERTEX)
    points["z"] = depth_m[rows, columns]
    points["x"] = (columns + 0.5 - width / 2) / focal * points["z"]
    points["y"] = (rows + 0.5 - height / 2) / focal * points["z"]
    points["red"], points["green"], points["blue"] = rgb[rows, columns].T
    return points


def write_ply(path: str | os.PathLike, points: np.ndarray) -> None:
    """Writes a cloud as binary .ply, atomically; MeshLab, CloudCompare and Open3D read it.

    Args:
        path: The file to write.
        points: Of `point_cloud`.
    """
    kinds = {"f": "float", "u": "uchar"}
    properties = [f"property {kinds[_VERTEX[name].kind]} {name}" for name in _VERTEX.names or ()]
    header = "\n".join([
        "ply", "format binary_little_endian 1.0", "comment metres: x right, y down, z forward",
        f"element vertex {len(points)}", *properties, "end_header", ""])
    write_bytes_atomic(path, header.encode() + points.tobytes())
