"""Any picture as a network takes it, and the network's depth back at the picture's own size.

Needs NumPy and Pillow alone, so that it runs on a board without TensorFlow.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from mai_depth.errors import UserError

MAX_PIXELS = 64_000_000  # checked in the header: a small file can claim terabytes
MIN_SIDE = 16
VIEW_SIDE = 2048  # px: what is kept of a larger picture; the networks see 640
FITS = ("pad", "crop", "stretch")

# Pillow knows more; some of those run other programs (EPS) or are no pictures.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
_WHITE_PERCENTILE = 99.5
_LOOKED_AT = 1_000_000  # pixels: more tell no other percentile
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class CameraPicture:
    """An upright RGB picture.

    Attributes:
        rgb: The pixels, reduced to at most `VIEW_SIDE` on the longer side.
        size: (width, height) of the picture itself, in pixels.
    """

    rgb: Image.Image
    size: tuple[int, int]

    def view_size(self, max_side: int) -> tuple[int, int]:
        """Gives (width, height) of the picture when it is reduced to at most `max_side`."""
        share = min(1.0, max_side / max(self.size))
        width, height = (max(1, round(side * share)) for side in self.size)
        return width, height


def read_picture(path: str | os.PathLike) -> CameraPicture:
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
    path = pathlib.Path(path)
    with _open(path) as image:
        _check_size(path, image.size)
        try:
            size = image.size
            image.draft(None, _reduced(size))
            image.load()
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            rgb = _on_white(_eight_bit(image).resize(
                _reduced(size), Image.Resampling.BILINEAR, reducing_gap=2.0))
        except Exception as error:  # Pillow's decoders raise many types for a broken file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: the picture is broken ({reason}); replace the file"
                            ) from error
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return CameraPicture(rgb, size[::-1] if orientation in _SWAPS_SIDES else size)


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


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which part of a picture lies where in a network's input.

    Attributes:
        picture: (left, top, right, bottom) of what the network sees, as shares of the picture.
        network: The same of where it lies, as shares of the input.
        magnification: How much larger things look than in a padded picture. What looks larger is
            taken for nearer by that factor, so the answer is multiplied by it.
    """

    picture: tuple[float, float, float, float]
    network: tuple[float, float, float, float]
    magnification: float = 1.0


def place(picture_size: tuple[int, int], network_size: tuple[int, int], fit: str) -> Placement:
    """Fits a picture into a network's input.

    Args:
        picture_size: (width, height).
        network_size: (width, height).
        fit: `pad` shows all of the picture at its own aspect, `crop` its middle at its own aspect,
            `stretch` all of it at the network's aspect.

    Returns:
        The placement.
    """
    scales = [network / picture for network, picture in zip(network_size, picture_size,
                                                            strict=True)]
    everything = (0.0, 0.0, 1.0, 1.0)
    if fit == "stretch":
        return Placement(everything, everything, math.sqrt(max(scales) / min(scales)))
    if fit == "crop":
        seen = [scale / max(scales) for scale in scales]
        return Placement(_centred(seen), everything, max(scales) / min(scales))
    # Whole pixels, so that the padding's border is the picture's border.
    width, height = (max(1, round(min(scales) * picture)) / network
                     for picture, network in zip(picture_size, network_size, strict=True))
    left, top = ((network - round(share * network)) // 2 / network
                 for share, network in zip((width, height), network_size, strict=True))
    return Placement(everything, (left, top, left + width, top + height))


def to_network(
    picture: CameraPicture, placement: Placement, network_size: tuple[int, int]
) -> np.ndarray:
    """Makes the network's input.

    The padding mirrors the picture. On NYU pictures cut to portrait that kept si-RMSE at 0.20;
    repeated edges gave 0.22, black 0.23, gray 0.24.

    Args:
        picture: The picture.
        placement: Of `place`.
        network_size: (width, height).

    Returns:
        uint8 [height, width, 3].
    """
    seen = _scaled(placement.picture, picture.rgb.size)
    left, top, right, bottom = (round(x) for x in _scaled(placement.network, network_size))
    width, height = network_size
    rgb = picture.rgb
    if rgb.size != network_size or placement.picture != (0.0, 0.0, 1.0, 1.0):
        rgb = rgb.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=seen)
    padding = ((top, height - bottom), (left, width - right), (0, 0))
    return np.pad(np.asarray(rgb), padding, mode="symmetric")


def from_network(
    depth_m: np.ndarray, placement: Placement, size: tuple[int, int]
) -> np.ndarray:
    """Brings a network's depth back to the picture.

    Args:
        depth_m: [height, width] in metres, of any size: the answer to `to_network`.
        placement: Of `place`.
        size: (width, height) of the result: the picture's, or a smaller view of it.

    Returns:
        float32 [height, width] in metres; 0 = missing where the network saw nothing or its answer
        is not finite.
    """
    image, lies = _magnified(depth_m, placement)
    left, top, right, bottom = (round(x) for x in _scaled(placement.picture, size))
    seen = np.asarray(image.resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.BILINEAR, box=lies))
    if seen.shape == size[::-1]:
        return seen
    depth = np.zeros(size[::-1], np.float32)
    depth[top:bottom, left:right] = seen
    return depth


def rows_from_network(
    depth_m: np.ndarray, placement: Placement, size: tuple[int, int], rows: int = 16
) -> Iterator[np.ndarray]:
    """Yields what `from_network` gives a few rows at a time: all of 60 million are 240 MB.

    Args:
        depth_m: As in `from_network`.
        placement: As in `from_network`.
        size: As in `from_network`.
        rows: How many at a time.

    Yields:
        float32 [rows, width] from top to bottom; the last may be shorter.
    """
    width, height = size
    image, lies = _magnified(depth_m, placement)
    left, top, right, bottom = (round(x) for x in _scaled(placement.picture, size))
    wide = np.asarray(image.resize(
        (max(1, right - left), image.height), Image.Resampling.BILINEAR,
        box=(lies[0], 0, lies[2], image.height)), np.float64)
    for start in range(0, height, rows):
        block = np.zeros((min(rows, height - start), width), np.float32)
        first, last = max(start, top), min(start + len(block), bottom)
        if first < last:
            weights = _row_weights(first - top, last - top, bottom - top, lies[1::2], len(wide))
            used = np.flatnonzero(weights.any(axis=0))
            # Not `@`: its threads take ten times as long to start as there is to multiply.
            block[first - start : last - start, left:right] = np.einsum(
                "rk,kw->rw", weights[:, used], wide[used])
        yield block


def _magnified(
    depth_m: np.ndarray, placement: Placement
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The answer with its holes as 0, and where in it the picture lies."""
    depth_m = np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0)
    image = Image.fromarray(np.float32(placement.magnification) * depth_m.astype(np.float32))
    return image, _scaled(placement.network, image.size)


def _row_weights(
    start: int, stop: int, count: int, edges: tuple[float, float], available: int
) -> np.ndarray:
    """The weights with which Pillow's bilinear resize takes rows: [stop - start, available]."""
    upper, lower = np.array(edges, np.float32)
    scale = float(lower - upper) / count
    centres = float(upper) + (np.arange(start, stop)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(available) + 0.5 - centres) * (1.0 / max(scale, 1.0))
    weights = np.maximum(1.0 - distances, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[Image.Image]:
    """Opens a picture by its file: by its path Pillow maps an uncompressed TIFF into memory at the
    size that the file's orientation has swapped already, and scrambles it."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(_identified(path, stack))


def _identified(path: pathlib.Path, stack: contextlib.ExitStack) -> Image.Image:
    try:
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty; replace it")
        file = stack.enter_context(path.open("rb"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not a picture that can be read; save it as PNG or JPEG"
                        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: {error}; scale the picture down") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{path}: the picture is broken ({error}); replace the file") from error


def _check_size(path: pathlib.Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: {width}x{height} is more than {MAX_PIXELS // 1_000_000} million "
                        "pixels; scale the picture down")
    if min(size) < MIN_SIDE:
        raise UserError(f"{path}: {width}x{height} is too small, at least {MIN_SIDE} pixels a side "
                        "are needed")


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    share = min(1.0, VIEW_SIDE / max(size))
    width, height = (max(1, round(side * share)) for side in size)
    return width, height


def _eight_bit(image: Image.Image) -> Image.Image:
    """Turns what cannot be resized well into gray, RGB, CMYK or RGBA."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
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


def _centred(shares: list[float]) -> tuple[float, float, float, float]:
    width, height = shares
    return ((1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2)


def _scaled(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    width, height = size
    return left * width, top * height, min(right, 1.0) * width, min(bottom, 1.0) * height
