"""Picture files of a data set: their headers are checked, their pixels become 8-bit RGB."""

import pathlib

import numpy as np
from PIL import Image

from mai_depth.errors import UserError

MAX_PIXELS = 64_000_000  # checked in the header: a small file can claim terabytes
EXIF_ORIENTATION = 0x0112


def open_image(path: pathlib.Path, formats: tuple[str, ...]) -> Image.Image:
    """Opens a picture and checks what its header claims.

    Args:
        path: The file.
        formats: The kinds of file that are read, in Pillow's words.

    Returns:
        The picture, not decoded yet.

    Raises:
        UserError: Another kind of file, one that cannot be read, or more than 64 million pixels.
    """
    try:
        image = Image.open(path, formats=formats)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: {error}; scale the picture down") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None)
        raise UserError(
            f"{path}: cannot be read ({reason}); was it changed meanwhile?" if reason
            else f"{path}: not a readable {' or '.join(formats)} file; replace it") from error
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"{path}: {image.width}x{image.height} is more than "
                        f"{MAX_PIXELS // 1_000_000} million pixels; scale the picture down")
    return image


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """Turns a decoded picture of any mode into 8-bit RGB."""
    if image.mode.startswith("I"):  # 16-bit gray: Pillow's own conversion cuts at 255
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return image.convert("RGB")
