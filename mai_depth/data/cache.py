"""The decoded cache: two files with a block for each pair, and a JSON index.

It is published as a whole, so several processes may open the same data at once, and a killed one
leaves no partial cache.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mai_depth.atomic import atomic_folder
from mai_depth.atomic import write_json_atomic
from mai_depth.data.block_file import BlockFile
from mai_depth.data.block_file import append_block
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.pairs import Pairs
from mai_depth.depth import MIN_DEPTH_M
from mai_depth.depth import missing_line
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice
from mai_depth.workdir import require_space

BYTES_PER_PAIR = HEIGHT * WIDTH * (3 + 2)

_FORMAT = 2  # part of every key; raise it when the files change their meaning


class Sample(NamedTuple):
    """One decoded pair: `rgb` uint8 [480, 640, 3], `depth` uint16 [480, 640], content `digest`.

    `cleared` counts the pixels whose code was taken for missing, see `depth.clear_missing`.
    """

    name: str
    rgb: np.ndarray
    depth: np.ndarray
    digest: bytes
    cleared: int = 0


def cache_folder(cache_dir: str | os.PathLike, label: str, key: Iterable[object]) -> pathlib.Path:
    """Derives the folder in which data is cached.

    Args:
        cache_dir: The folder of all caches (`--cache_dir`).
        label: The readable part of the folder's name.
        key: Everything that decides the cache's content and is quick to know.

    Returns:
        The folder, which need not exist.
    """
    text = repr((_FORMAT, HEIGHT, WIDTH, *key))
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return pathlib.Path(cache_dir).expanduser() / f"{label}-{digest[:20]}"


@contextlib.contextmanager
def new_folder(folder: pathlib.Path, is_published: Callable[[], bool]) -> Iterator[pathlib.Path]:
    """Yields a draft that becomes a folder in `--cache_dir`, see `atomic_folder`.

    Args:
        folder: Its final path; its parents are made.
        is_published: As in `atomic_folder`.

    Yields:
        The folder to fill.

    Raises:
        UserError: It cannot be written there.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(atomic_folder(folder, is_published))
        except OSError as error:
            raise UserError(f"--cache_dir={folder.parent}: cannot be written ({error.strerror}); "
                            "choose another folder") from error
        yield temporary


def read_cache(folder: pathlib.Path, allow_broken: bool = True) -> Pairs | None:
    """Opens a complete cache.

    Args:
        folder: From `cache_folder`.
        allow_broken: Accept a cache from which broken pairs were left out.

    Returns:
        The pairs; None if there is no such cache, or its index or a file's size is wrong. A damaged
        block is found when it is read, see `BlockFile`.
    """
    try:
        index = json.loads((folder / "index.json").read_text())
        if index.pop("sha256") != _index_digest(index):
            return None
        shape = (len(index["names"]), HEIGHT, WIDTH)
        rgb = BlockFile(folder / "rgb.u8", "u1", (*shape, 3), discard=folder)
        depth = BlockFile(folder / "depth.u16", "<u2", shape, discard=folder)
        if index["broken"] and not allow_broken:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Pairs(
        names=tuple(index["names"]),
        rgb=rgb,
        depth=depth,
        units_per_m=index["units_per_m"],
        fingerprint=index["fingerprint"],
        excluded=(*index["broken"], *index["without_depth"]),
        cleared_pixels=index["cleared_pixels"],
        cleared_maps=index["cleared_maps"],
    )


def write_cache(
    folder: pathlib.Path,
    samples: Iterable[Sample | UserError],
    count: int,
    units_per_m: float,
) -> Pairs:
    """Stores decoded samples and opens them.

    Args:
        folder: From `cache_folder`.
        samples: What to store, in order; a `UserError` stands for a pair that is left out.
        count: Number of `samples`, for the progress bar and the space needed.
        units_per_m: Stored depth units per metre.

    Returns:
        The pairs. Those without any valid depth are left out and listed in `excluded`.

    Raises:
        UserError: The cache folder cannot be written, has no space, or no pair is left.
    """
    index: dict = {}

    def is_published() -> bool:  # else it is damaged, or older than a repaired pair
        there = read_cache(folder)
        return there is not None and there.fingerprint == index["fingerprint"]

    with new_folder(folder, is_published) as temporary:
        require_space(folder.parent, count * BYTES_PER_PAIR, "the decoded pictures", "cache_dir")
        quiet = not sys.stderr.isatty()
        bar = tqdm(samples, "decoding", count, unit=" pairs", leave=False,
                   delay=2 if quiet else 0, mininterval=5 if quiet else 0.1)
        index |= _write_files(temporary, bar, units_per_m)
        write_json_atomic(
            temporary / "index.json", {**index, "sha256": _index_digest(index)})
    pairs = read_cache(folder)
    if pairs is None:
        raise UserError(f"{folder}: the cache vanished while it was written; run again, or choose "
                        "another --cache_dir")
    return pairs


def warn_of_missing(pairs: Pairs, folder: pathlib.Path) -> None:
    """Warns, in a line each, of pairs that were left out and of codes taken for missing."""
    if pairs.cleared_pixels:
        warnings.warn(
            missing_line(pairs.cleared_pixels, pairs.cleared_maps), UserNotice, stacklevel=3)
    if pairs.excluded:
        shown = "; ".join(pairs.excluded[:5]) + ("; ..." if len(pairs.excluded) > 5 else "")
        noun = "pair" if len(pairs.excluded) == 1 else "pairs"
        warnings.warn(
            f"{len(pairs.excluded)} {noun} left out (see {folder / 'index.json'}): {shown}",
            UserNotice,
            stacklevel=3,  # the caller of `open_split`
        )


def _write_files(
    folder: pathlib.Path, samples: Iterable[Sample | UserError], units_per_m: float
) -> dict:
    names: list[str] = []
    broken: list[str] = []
    without_depth: list[str] = []
    cleared: list[int] = []
    content = hashlib.sha256(repr(float(units_per_m)).encode())
    with open(folder / "rgb.u8", "wb") as rgb, open(folder / "depth.u16", "wb") as depth:
        for sample in samples:
            if isinstance(sample, UserError):
                broken.append(str(sample))
                continue
            if not has_depth(sample.depth, units_per_m):
                without_depth.append(f"{sample.name}: no pixel has a valid depth")
                continue
            append_block(rgb, len(names), np.ascontiguousarray(sample.rgb, np.uint8))
            append_block(depth, len(names), np.ascontiguousarray(sample.depth, "<u2"))
            names.append(sample.name)
            cleared.append(sample.cleared)
            content.update(os.fsencode(sample.name) + b"\0" + sample.digest)
        for file in (rgb, depth):  # only now does a network disk report that it is full
            file.flush()
            os.fsync(file.fileno())
    if not names:
        raise UserError(f"no usable pair; the first fault is {[*without_depth, *broken][0]}; check "
                        "--data_dir and --depth_units_per_m")
    return {
        "names": names,
        "broken": broken,
        "without_depth": without_depth,
        "cleared_pixels": sum(cleared),
        "cleared_maps": sum(map(bool, cleared)),
        "units_per_m": float(units_per_m),
        "fingerprint": content.hexdigest(),
    }


def _index_digest(index: dict) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def has_depth(depth: np.ndarray, units_per_m: float) -> bool:
    """Returns whether any pixel of stored depth is valid; a pair without one is left out."""
    return bool((depth > MIN_DEPTH_M * units_per_m).any())
