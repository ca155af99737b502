"""Opens picture files, checks them before decoding, and turns them upright by EXIF.

Needs only NumPy and Pillow, so that it runs on a board without TensorFlow; HEIC needs pi-heif.
"""

import contextlib
import os
import pathlib
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO
from typing import Protocol

import numpy as np
from PIL import ExifTags
from PIL import Image
from PIL import ImageOps
from PIL import UnidentifiedImageError

from mai_depth.errors import UserError
from mai_depth.errors import reason_of

MAX_PIXELS = 64_000_000  # checked in the header: a small file can claim terabytes
SIDEWAYS = range(5, 9)  # the EXIF orientations that swap width and height

# Pillow knows more; some of those run other programs (EPS) or are not pictures.
_FORMATS: tuple[str, ...] = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF",
                             "WEBP")
_USUAL = ("PNG", "JPEG")  # what a message suggests
_HEIC = (".heic", ".heif", ".hif")  # what iPhones write
_ORIENTATIONS = range(1, 9)
_FILTERS = threading.Lock()  # all threads share Python's warning filters

try:
    import pi_heif
except ImportError:  # not in requirements-board.txt
    _READS_HEIC = False
else:
    pi_heif.register_heif_opener()
    _READS_HEIC = True
    _FORMATS += ("HEIF",)


class Openable(Protocol):
    """A picture without a file of its own, as in a packed folder; `str` names it in messages."""

    def open(self, mode: str = "rb") -> BinaryIO: ...


@contextlib.contextmanager
def open_picture(
    path: str | os.PathLike | Openable, formats: tuple[str, ...] = _FORMATS
) -> Iterator[Image.Image]:
    """Opens a picture; its pixels are decoded on demand.

    Pillow gets an open file: given a path, it maps an uncompressed TIFF into memory with the width
    and height already swapped by the file's orientation, and scrambles it.

    Args:
        path: The file; what `Openable` opens is never empty.
        formats: The accepted formats, by Pillow's names.

    Yields:
        The picture, its size checked.

    Raises:
        UserError: The file cannot be read, is not a picture or has too many pixels; or Pillow
            fails in the block because the picture is broken.
    """
    path = pathlib.Path(path) if isinstance(path, (str, os.PathLike)) else path
    with contextlib.ExitStack() as stack:
        image = stack.enter_context(_identified(path, formats, stack))
        if image.width * image.height > MAX_PIXELS:
            raise UserError(f"{path}: {image.width}x{image.height} is more than "
                            f"{MAX_PIXELS // 1_000_000} million pixels; scale the picture down")
        try:
            yield image
        except UserError:
            raise
        except Exception as error:  # Pillow's decoders raise many types for a broken file
            raise UserError(f"{path}: the picture is broken ({reason_of(error)}); replace the file"
                            ) from error


def orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation: 1 is upright, 2 to 8 must be turned.

    Args:
        image: From `open_picture`; a PNG is decoded, because its EXIF may follow the pixels.

    Returns:
        The orientation, 1 if the file has none.
    """
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turns a picture upright.

    Args:
        image: As stored, of any mode and size.
        orientation: From the function of that name, called before any conversion, which would
            drop EXIF.

    Returns:
        The picture, turned where `orientation` is 2 to 8.
    """
    if orientation not in _ORIENTATIONS:
        return image
    # A new EXIF: Pillow would rewrite all of the camera's, which fails if it is damaged but for
    # the orientation.
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = int(orientation)
    marked = image.copy()
    marked.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(marked)


def eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit gray to 8 bits, which Pillow's own conversion clips at 255.

    Args:
        image: Of any mode.

    Returns:
        The picture; unchanged unless it is 16-bit gray.
    """
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))


def _identified(
    path: pathlib.Path | Openable, formats: tuple[str, ...], stack: contextlib.ExitStack
) -> Image.Image:
    try:
        if isinstance(path, pathlib.Path) and not path.stat().st_size:
            raise UserError(f"{path}: the file is empty; replace it")
        file = stack.enter_context(path.open("rb"))
        file.read(1)  # waits for the disk before the lock is taken
        file.seek(0)
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        usual = " or ".join(name for name in _USUAL if name in formats)
        if not _READS_HEIC and str(path).lower().endswith(_HEIC):
            raise UserError(f"{path}: a HEIC picture needs another package; pip install pi-heif, "
                            f"or replace it with a {usual} file") from error
        raise UserError(f"{path}: not a picture that can be read; replace it with a {usual} file"
                        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: {error}; scale the picture down") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{path}: the picture is broken ({error}); replace the file") from error
