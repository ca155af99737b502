"""A frame for the page: a JSON head, and photo and coloured depth as JPEG.

A message is the length of the head (uint32, little-endian), the head, and the two JPEG files.
OpenCV looks up the colours: indexing with NumPy takes 6 to 14 ms a picture, more than the network.
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
_SPARSE = 4  # every fourth row and column is enough for a percentile
_NEAREST_PERCENTILE = 2  # a few stray pixels are not an obstacle


def nearest_in_middle(depth_m: np.ndarray) -> float | None:
    """Returns the distance of the nearest thing in the middle third of the picture.

    Args:
        depth_m: [height, width] in metres.

    Returns:
        The 2nd percentile of the valid depth there, in metres; None if there is none.
    """
    height, width = depth_m.shape
    middle = depth_m[height // 3 : height - height // 3, width // 3 : width - width // 3]
    middle = middle[::_SPARSE, ::_SPARSE]
    measured = middle[valid_mask(middle)]
    return float(np.percentile(measured, _NEAREST_PERCENTILE)) if measured.size else None


def color_table() -> np.ndarray:
    """Returns the colours of depth from far to near: uint8 [256, 3], RGB."""
    shades = np.linspace(2.0, 1.0, 256)[None]
    return colorize(shades, 1.0, 2.0)[0]


class Painter:
    """Colours depth and encodes JPEG, with OpenCV."""

    def __init__(self) -> None:
        self._cv2: Any = load_opencv()
        self._table = np.ascontiguousarray(color_table()[:, None, ::-1])

    def color(self, depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
        """Colours depth as `colormap.colorize` does, in BGR.

        Args:
            depth_m: float32 [height, width] in metres, 0 = missing.
            near_m: Depth of the warmest colour.
            far_m: Depth of the coldest colour.

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
        """Converts a photo to BGR and reduces it to `size`, (width, height)."""
        bgr = self._cv2.cvtColor(rgb, self._cv2.COLOR_RGB2BGR)
        if size == rgb.shape[1::-1]:
            return bgr
        return self._cv2.resize(bgr, size, interpolation=self._cv2.INTER_AREA)

    def message(self, head: dict[str, Any], photo: np.ndarray, colors: np.ndarray) -> bytes:
        """Encodes the message of a frame.

        Args:
            head: The fields of its head; `photo_bytes` is added.
            photo: uint8 [height, width, 3], BGR.
            colors: The same, of the depth.

        Returns:
            The message.
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
