"""Any picture as upright RGB, reduced to what a network sees.

Needs NumPy and Pillow alone, so that it runs on a board without TensorFlow.
"""

import dataclasses
import os

import numpy as np
from PIL import Image

from mai_depth.errors import UserError
from mai_depth.picture import SIDEWAYS
from mai_depth.picture import Openable
from mai_depth.picture import eight_bits
from mai_depth.picture import open_picture
from mai_depth.picture import orientation
from mai_depth.picture import upright
from mai_depth.predict.focal_length import exif_focal_px

MIN_SIDE = 16
VIEW_SIDE = 2048  # px: what is kept of a larger picture; the networks see 640

_WHITE_PERCENTILE = 99.5
_LOOKED_AT = 1_000_000  # pixels: more do not change the percentile


@dataclasses.dataclass(frozen=True)
class CameraPicture:
    """An upright RGB picture.

    Attributes:
        rgb: The pixels, reduced to at most `VIEW_SIDE` on the longer side.
        size: (width, height) of the picture itself, in pixels.
        focal_px: Focal length in pixels of `size` by its EXIF, else None.
    """

    rgb: Image.Image
    size: tuple[int, int]
    focal_px: float | None = None

    def view_size(self, max_side: int) -> tuple[int, int]:
        """Returns (width, height) of the picture when it is reduced to at most `max_side`."""
        share = min(1.0, max_side / max(self.size))
        width, height = (max(1, round(side * share)) for side in self.size)
        return width, height


def read_picture(path: str | os.PathLike | Openable) -> CameraPicture:
    """Reads a picture of any kind as upright RGB.

    The EXIF orientation is applied, transparency becomes white, 16-bit gray is scaled to 8 bits,
    other deep formats (32-bit, float) are scaled so that the brightest 0.5 % of their finite
    pixels become white, which hot pixels do not change; of an animation the first frame counts. A
    large JPEG is decoded at a fraction of its size.

    Args:
        path: A picture file.

    Returns:
        The picture.

    Raises:
        UserError: Not a picture, broken, too small or too large.
    """
    with open_picture(path) as image:
        size = image.size
        _refuse_too_small(path, size)
        image.draft(None, _reduced(size))
        image.load()
        turn, focal_px = orientation(image), exif_focal_px(image, size)
        reduced = _resizable(image).resize(
            _reduced(size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        rgb = _on_white(upright(reduced, turn))
    return CameraPicture(rgb, size[::-1] if turn in SIDEWAYS else size, focal_px)


def from_array(rgb: np.ndarray) -> CameraPicture:
    """Takes a picture that is in memory already.

    Args:
        rgb: uint8 [height, width, 3].

    Returns:
        The picture.
    """
    image = Image.fromarray(rgb)
    size = image.size
    if max(size) > VIEW_SIDE:
        image = image.resize(_reduced(size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return CameraPicture(image, size)


def _refuse_too_small(path: object, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        raise UserError(f"{path}: {width}x{height} is too small, at least {MIN_SIDE} pixels a side "
                        "are needed")


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    share = min(1.0, VIEW_SIDE / max(size))
    width, height = (max(1, round(side * share)) for side in size)
    return width, height


def _resizable(image: Image.Image) -> Image.Image:
    """Turns what cannot be resized well into gray, RGB, CMYK or RGBA."""
    image = eight_bits(image)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
        return Image.fromarray((np.clip(values / _white(values), 0, 1) * 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "RGBA", "CMYK", "YCbCr") else image.convert("RGB")


def _white(values: np.ndarray) -> float:
    """The value that becomes white in a picture of any scale."""
    values = values.reshape(-1)[:: -(-values.size // _LOOKED_AT)]
    values = values[np.isfinite(values)]
    if not values.size:
        return 1.0
    white = float(np.percentile(values, _WHITE_PERCENTILE))
    return white if white > 0 else max(float(values.max()), 1e-30)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
