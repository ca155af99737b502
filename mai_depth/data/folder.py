"""A folder in the layout of the MAI 2021 challenge: listed, checked, decoded.

`SPLIT/rgb/NAME.{png,jpg}` and `SPLIT/depth/NAME.png`. Everything that can be seen without
decoding a picture is checked before the first one is decoded.
"""

import hashlib
import os
import pathlib
import stat
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from mai_depth.data.cache import Sample
from mai_depth.data.convert.formats import COMMAND
from mai_depth.data.convert.formats import hint
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.picture_file import EXIF_ORIENTATION
from mai_depth.data.picture_file import eight_bit_rgb
from mai_depth.data.picture_file import open_image
from mai_depth.data.pool import attempt
from mai_depth.data.pool import count_bad
from mai_depth.data.pool import map_ahead
from mai_depth.depth import clear_missing
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError

MIN_HEIGHT = 48

_RGB_SUFFIXES = (".png", ".jpg", ".jpeg")
_DEPTH_SUFFIXES = (".png",)
_THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes outside the interpreter lock


class File(NamedTuple):
    """A listed file; what `stat` said of it tells a changed file from an unchanged one."""

    path: pathlib.Path
    size: int
    mtime_ns: int


class PairFiles(NamedTuple):
    """The two files of one pair."""

    name: str
    rgb: File
    depth: File


def list_pairs(split_dir: pathlib.Path) -> list[PairFiles]:
    """Lists the pairs of a split without opening a picture.

    Args:
        split_dir: The folder that holds `rgb` and `depth`.

    Returns:
        The pairs, sorted by name.

    Raises:
        UserError: A folder is missing or empty, a file has no partner, two files have one name,
            or something else than a picture lies there.
    """
    try:
        return _pairs(split_dir)
    except UserError as error:
        other_layout = hint(split_dir.parent)
        if other_layout:
            raise UserError(other_layout) from error
        raise


def _pairs(split_dir: pathlib.Path) -> list[PairFiles]:
    if not split_dir.is_dir():
        raise UserError(
            f"{split_dir}: no such folder; --data_dir must hold SPLIT/rgb and SPLIT/depth"
        )
    rgb = _list_files(split_dir / "rgb", _RGB_SUFFIXES)
    depth = _list_files(split_dir / "depth", _DEPTH_SUFFIXES)
    alone = [
        f"{len(orphans)} without {missing} ({_some(orphans)})"
        for orphans, missing in ((rgb.keys() - depth.keys(), "depth"),
                                 (depth.keys() - rgb.keys(), "rgb"))
        if orphans
    ]
    if alone:
        raise UserError(f"{split_dir}: pictures {' and '.join(alone)}; rgb/NAME and depth/NAME.png "
                        "belong together: add the missing files or remove their partners")
    return [PairFiles(name, rgb[name], depth[name]) for name in sorted(rgb)]


def check_pair(pair: PairFiles, allow_resize: bool) -> None:
    """Checks both headers of a pair: format, size, orientation, bits.

    Args:
        pair: The files.
        allow_resize: Accept a depth map of another size than its picture, of the same aspect.

    Raises:
        UserError: Names the file and the remedy.
    """
    for file in (pair.rgb, pair.depth):
        if file.size == 0:
            raise UserError(f"{file.path}: the file is empty; replace it")
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

    Another size is resized: the picture with Pillow's antialiased bilinear filter, depth by
    taking the nearest pixel, so that no depth is made up between two surfaces.

    Args:
        pair: The files.
        missing_value: See `depth.clear_missing`.

    Returns:
        The sample; its digest is that of both files' bytes, and of what was not taken for missing.

    Raises:
        UserError: A file is broken, changed or vanished.
    """
    try:
        digest = _digest(pair.rgb.path) + _digest(pair.depth.path)
        rgb = _decode_rgb(pair.rgb.path)
        depth = _nearest(read_depth_units(pair.depth.path))
    except OSError as error:
        raise UserError(f"{pair.rgb.path}: cannot be read ({error.strerror}); was it changed "
                        "meanwhile?") from error
    cleared = clear_missing(depth, missing_value)
    if cleared:  # the same bytes may be other depth
        digest += hashlib.sha256(depth.data).digest()
    return Sample(pair.name, rgb, depth, digest, cleared)


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


def _list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, File]:
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); --data_dir must hold "
                        "SPLIT/rgb and SPLIT/depth") from error
    if not entries:
        raise UserError(f"{folder}: the folder is empty; put the pictures there or choose another "
                        "--data_dir")
    strange = [entry.name for entry in entries if not entry.name.lower().endswith(suffixes)]
    if strange:
        raise UserError(f"{folder}: {len(strange)} entries are no {' or '.join(suffixes)} files "
                        f"({_some(strange)}); move them elsewhere")
    files: dict[str, File] = {}
    for entry in entries:
        path = pathlib.Path(entry.path)
        if path.stem in files:
            raise UserError(f"{path} and {files[path.stem].path} have the same name; remove one")
        try:
            status = entry.stat()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); replace it") from error
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a file; move it elsewhere")
        files[path.stem] = File(path, status.st_size, status.st_mtime_ns)
    return files


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _rgb_header(path: pathlib.Path) -> tuple[int, int]:
    with open_image(path, ("PNG", "JPEG")) as image:
        if image.format == "PNG" and getattr(image, "is_animated", False):
            raise UserError(f"{path}: an animation; store one frame")
        _check_orientation(path, image)
        return image.size


def _check_orientation(path: pathlib.Path, image: Image.Image) -> None:
    # Pillow would decode a PNG to look for EXIF behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    if orientation != 1:
        raise UserError(f"{path}: EXIF orientation {orientation}, but depth is not rotated; rotate "
                        "the pixels and remove the tag")


def _depth_header(path: pathlib.Path) -> tuple[int, int]:
    with open_image(path, ("PNG",)) as image:
        if image.mode not in ("I;16", "I"):
            read_depth_units(path)  # says what is wrong with it
        return image.size


def _digest(path: pathlib.Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _decode_rgb(path: pathlib.Path) -> np.ndarray:
    with open_image(path, ("PNG", "JPEG")) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path}: the picture is broken ({error}); replace the file"
                            ) from error
        _check_orientation(path, image)
        image = eight_bit_rgb(image)
        if image.size != (WIDTH, HEIGHT):
            image = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        return np.asarray(image)


def _nearest(depth: np.ndarray) -> np.ndarray:
    rows = ((np.arange(HEIGHT) + 0.5) * depth.shape[0] / HEIGHT).astype(int)
    columns = ((np.arange(WIDTH) + 0.5) * depth.shape[1] / WIDTH).astype(int)
    return depth[rows[:, None], columns]
