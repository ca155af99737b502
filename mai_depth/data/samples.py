"""Checks pairs of picture and depth files, then decodes them.

Everything that can be checked without decoding a picture is checked before the first is decoded.
"""

import hashlib
import os
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from mai_depth.data.cache import Sample
from mai_depth.data.convert.formats import COMMAND
from mai_depth.data.folder import FilePath
from mai_depth.data.folder import PairFiles
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.pool import attempt
from mai_depth.data.pool import count_bad
from mai_depth.data.pool import map_ahead
from mai_depth.depth import clear_missing
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError
from mai_depth.picture import Openable
from mai_depth.picture import eight_bits
from mai_depth.picture import open_picture
from mai_depth.picture import orientation

MIN_HEIGHT = 48

_RGB_FORMATS = ("PNG", "JPEG")
_DEPTH_FORMATS = ("PNG",)
_THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes without the interpreter's lock


def check_pair(pair: PairFiles, allow_resize: bool) -> None:
    """Checks both headers of a pair: format, size, orientation, bits.

    Args:
        pair: The files.
        allow_resize: Accept a depth map of another size than its picture, of the same aspect.

    Raises:
        UserError: The pair cannot be used.
    """
    width, height = rgb_size = _rgb_header(pair.rgb.path)
    depth_size = _depth_header(pair.depth.path)
    if rgb_size != depth_size:
        same_aspect = width * depth_size[1] == height * depth_size[0]
        if not (same_aspect and allow_resize):
            remedy = ("store both in one size, or pass --allow_resize" if same_aspect
                      else "crop both to the same view")
            raise UserError(f"{pair.rgb.path} is {width}x{height}, {pair.depth.path} is "
                            f"{depth_size[0]}x{depth_size[1]}; {remedy}")
    if width * HEIGHT != height * WIDTH:
        raise UserError(f"{pair.rgb.path}: {width}x{height} is not 4:3 as {WIDTH}x{HEIGHT} is; "
                        f"crop picture and depth to 4:3, or let {COMMAND} do it")
    if min(height, depth_size[1]) < MIN_HEIGHT:
        raise UserError(f"{pair.rgb.path}: {width}x{height} is too small, at least "
                        f"{MIN_HEIGHT * 4 // 3}x{MIN_HEIGHT} is needed; remove or replace the pair")


def decode_pair(pair: PairFiles, missing_value: int | None = None) -> Sample:
    """Decodes a checked pair at 480x640.

    Other sizes are resized: the picture with Pillow's antialiased bilinear filter, depth by
    taking the nearest pixel, so that no depth is made up between two surfaces.

    Args:
        pair: The files.
        missing_value: See `depth.clear_missing`.

    Returns:
        The sample. Its digest covers both files' bytes, and the depth if pixels were cleared.

    Raises:
        UserError: A file is broken, or has changed or vanished.
    """
    digest = _digest(pair.rgb.path) + _digest(pair.depth.path)
    rgb = decode_rgb(pair.rgb.path)
    depth, cleared = decode_depth(pair.depth.path, missing_value)
    if cleared:  # then the same bytes may give other depth
        digest += hashlib.sha256(depth.data).digest()
    return Sample(pair.name, rgb, depth, digest, cleared)


def decode_rgb(path: str | os.PathLike | Openable) -> np.ndarray:
    """Decodes a picture at 480x640, see `decode_pair`.

    Args:
        path: A PNG or JPEG file.

    Returns:
        uint8 [480, 640, 3].

    Raises:
        UserError: As `read_rgb`.
    """
    picture = read_rgb(path)
    if picture.size != (WIDTH, HEIGHT):
        picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def decode_depth(
    path: str | os.PathLike | Openable, missing_value: int | None = None
) -> tuple[np.ndarray, int]:
    """Decodes a depth map at 480x640, see `decode_pair`.

    Args:
        path: A 16-bit gray PNG.
        missing_value: See `depth.clear_missing`.

    Returns:
        uint16 [480, 640], 0 = missing, and what `clear_missing` returns.

    Raises:
        UserError: As `read_depth_units`.
    """
    depth = _nearest(read_depth_units(path))
    return depth, clear_missing(depth, missing_value)


def read_rgb(path: str | os.PathLike | Openable) -> Image.Image:
    """Decodes the picture of a pair at its own size; its pixels match those of the depth.

    16-bit gray is scaled to 8 bits, transparency is dropped.

    Args:
        path: A PNG or JPEG file.

    Returns:
        The picture, RGB.

    Raises:
        UserError: It cannot be read or is broken, or EXIF turns it but not its depth.
    """
    with open_picture(path, _RGB_FORMATS) as image:
        image.load()
        _refuse_turned(path, image)
        return eight_bits(image).convert("RGB")


def samples(
    pairs: Sequence[PairFiles],
    *,
    allow_resize: bool,
    on_bad_sample: str,
    missing_value: int | None = None,
) -> Iterator[Sample | UserError]:
    """Checks all headers, then decodes pair by pair in the given order.

    Args:
        pairs: From `list_pairs`.
        allow_resize: See `check_pair`.
        on_bad_sample: `"fail"` raises at the first broken pair; `"skip"` yields its `UserError`
            in its place, and raises once more than 1 % (and more than one) are broken.
        missing_value: See `decode_pair`.

    Yields:
        A decoded sample, or what is wrong with it.
    """
    bad = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        checks = map_ahead(pool, lambda pair: attempt(check_pair, pair, allow_resize), pairs)
        faults = {}
        for pair, fault in zip(pairs, checks, strict=True):
            if fault is not None:
                faults[pair.name] = fault
                bad = count_bad(bad, fault, len(pairs), on_bad_sample)
        good = [pair for pair in pairs if pair.name not in faults]
        decoded = map_ahead(pool, lambda pair: attempt(decode_pair, pair, missing_value), good)
        for pair in pairs:
            sample = faults.get(pair.name) or next(decoded)
            if isinstance(sample, UserError) and pair.name not in faults:
                bad = count_bad(bad, sample, len(pairs), on_bad_sample)
            yield sample


def _rgb_header(path: FilePath) -> tuple[int, int]:
    with open_picture(path, _RGB_FORMATS) as image:
        if image.format == "PNG" and getattr(image, "is_animated", False):
            raise UserError(f"{path}: an animation; store one frame")
        _refuse_turned(path, image)
        return image.size


def _refuse_turned(path: object, image: Image.Image) -> None:
    # Pillow would decode a PNG to look for EXIF after the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return
    if (turn := orientation(image)) != 1:
        raise UserError(f"{path}: EXIF orientation {turn}, but depth is not rotated; rotate the "
                        "pixels and remove the tag")


def _depth_header(path: FilePath) -> tuple[int, int]:
    with open_picture(path, _DEPTH_FORMATS) as image:
        if image.mode != "I;16":
            read_depth_units(path)  # says what is wrong with it
        return image.size


def _digest(path: FilePath) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); was it changed meanwhile?"
                        ) from error


def _nearest(depth: np.ndarray) -> np.ndarray:
    rows = ((np.arange(HEIGHT) + 0.5) * depth.shape[0] / HEIGHT).astype(int)
    columns = ((np.arange(WIDTH) + 0.5) * depth.shape[1] / WIDTH).astype(int)
    return depth[rows[:, None], columns]
