"""The part of a picture that is labelled: its upright 4:3 centre, at most 480x640."""

import os

from PIL import Image

from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.samples import MIN_HEIGHT
from mai_depth.errors import UserError
from mai_depth.picture import open_picture
from mai_depth.picture import orientation


def middle(rgb: Image.Image) -> Image.Image:
    """Crops a picture to what training reads: its 4:3 centre, reduced to at most 480x640.

    Args:
        rgb: An upright picture.

    Returns:
        The view; width and height are exactly 4:3.

    Raises:
        UserError: The picture is too small.
    """
    rows = min(HEIGHT, rgb.height, rgb.width * HEIGHT // WIDTH) // 3 * 3
    if rows < MIN_HEIGHT:
        raise UserError(f"{rgb.width}x{rgb.height} is too small, its 4:3 centre must have at least "
                        f"{MIN_HEIGHT} rows; remove the picture")
    width = min(rgb.width, rgb.height * WIDTH / HEIGHT)
    height = min(rgb.height, width * HEIGHT / WIDTH)  # rounding could exceed the picture
    left, top = (rgb.width - width) / 2, (rgb.height - height) / 2
    return rgb.resize((rows * WIDTH // HEIGHT, rows), Image.Resampling.BILINEAR,
                      box=(left, top, left + width, top + height))


def is_view(path: str | os.PathLike) -> bool:
    """Tells whether training can read a picture as it is and sees the same as from `middle`.

    Args:
        path: A picture that can be read.

    Returns:
        Whether it is an upright JPEG or PNG of 4:3, gray or RGB of 8 bits, of at most 480x640.
    """
    try:
        with open_picture(path, ("JPEG", "PNG")) as image:
            rows = image.height
            return (image.mode in ("L", "RGB") and MIN_HEIGHT <= rows <= HEIGHT
                    and image.width * HEIGHT == rows * WIDTH
                    and "transparency" not in image.info
                    and getattr(image, "n_frames", 1) == 1
                    and orientation(image) == 1)
    except UserError:
        return False
