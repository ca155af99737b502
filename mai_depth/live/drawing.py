"""A frame of the page: photo and coloured depth as JPEG, and what is said of them.

A message is the length of its JSON head (uint32, little-endian), the head, and the two JPEG files.
Colours go through OpenCV's table: indexing with NumPy takes 6 to 14 ms a picture, more than the
network does.
"""

import json
import struct
from typing import Any

import numpy as np

from mai_depth.colormap import colorize
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError
from mai_depth.video_frames import load_opencv

_PHOTO_QUALITY = 80
_DEPTH_QUALITY = 90
_SPARSE = 4  # every so many rows and columns tell a percentile as well as all
_NEAREST_PERCENTILE = 2  # a few stray pixels are no obstacle


def nearest_in_middle(depth_m: np.ndarray) -> float | None:
    """Tells how far the nearest thing in the middle third of the picture is.

    Args:
        depth_m: [height, width] in metres.

    Returns:
        The 2nd percentile of what is valid there; None where nothing is.
    """
    height, width = depth_m.shape
    middle = depth_m[height // 3 : height - height // 3, width // 3 : width - width // 3]
    middle = middle[::_SPARSE, ::_SPARSE]
    measured = middle[valid_mask(middle)]
    return float(np.percentile(measured, _NEAREST_PERCENTILE)) if measured.size else None


def color_table() -> np.ndarray:
    """The colours of depth from far to near: uint8 [256, 3], RGB."""
    shades = np.linspace(2.0, 1.0, 256)[None]
    return colorize(shades, 1.0, 2.0)[0]


class Painter:
    """Draws depth and writes JPEG, with OpenCV."""

    def __init__(self) -> None:
        self._cv2: Any = load_opencv()
        self._table = np.ascontiguousarray(color_table()[:, None, ::-1])

    def color(self, depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
        """Draws depth as `colormap.colorize` does, in BGR.

        Args:
            depth_m: float32 [height, width] in metres, 0 = missing.
            near_m: What gets the warmest colour.
            far_m: What gets the coldest colour.

        Returns:
            uint8 [height, width, 3].
        """
        cv2, slope = self._cv2, 255 / max(far_m - near_m, 1e-6)
        clipped = cv2.min(cv2.max(depth_m, near_m), far_m)
        steps = cv2.convertScaleAbs(clipped, alpha=-slope, beta=far_m * slope)
        colors = cv2.applyColorMap(steps, self._table)
        valid = valid_mask(depth_m)
        if not valid.all():
            colors[~valid] = 0
        return colors

    def reduce(self, rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Makes a photo smaller, in BGR; of its own size it stays as it is."""
        bgr = self._cv2.cvtColor(rgb, self._cv2.COLOR_RGB2BGR)
        if size == rgb.shape[1::-1]:
            return bgr
        return self._cv2.resize(bgr, size, interpolation=self._cv2.INTER_AREA)

    def message(self, head: dict[str, Any], photo: np.ndarray, colors: np.ndarray) -> bytes:
        """Makes the message of a frame.

        Args:
            head: What is said of it; `photo_bytes` is added.
            photo: BGR.
            colors: BGR.

        Returns:
            The bytes for the page.
        """
        photo_jpeg = self._jpeg(photo, _PHOTO_QUALITY)
        depth_jpeg = self._jpeg(colors, _DEPTH_QUALITY)
        text = json.dumps({**head, "photo_bytes": len(photo_jpeg)}).encode()
        return struct.pack("<I", len(text)) + text + photo_jpeg + depth_jpeg

    def _jpeg(self, bgr: np.ndarray, quality: int) -> bytes:
        good, encoded = self._cv2.imencode(
            ".jpg", bgr, [self._cv2.IMWRITE_JPEG_QUALITY, quality])
        if not good:
            raise UserError("OpenCV cannot write JPEG; install opencv-python-headless from PyPI")
        return encoded.tobytes()
