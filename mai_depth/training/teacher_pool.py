"""A pool of views with the teacher's answer to each, filled once and reused."""

import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mai_depth.data.augment import views_of
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.block_file import BlockFile
from mai_depth.data.block_file import append_block
from mai_depth.data.block_file import keep_whole_blocks
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.pairs import Pairs
from mai_depth.data.teacher_views import TeacherViews
from mai_depth.data.teacher_views import draw_crops
from mai_depth.depth import MAX_UNITS
from mai_depth.errors import UserError
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir
from mai_depth.workdir import require_space

_BATCH = 8


def fill_teacher_views(
    teacher: Any,
    identity: str,
    pairs: Pairs,
    *,
    views: int,
    size: tuple[int, int],
    augmentation: Augmentation,
    seed: int,
    cache_dir: str | os.PathLike,
) -> TeacherViews:
    """Asks a teacher for views of every picture, or reuses its answers from an earlier run.

    It sees the same view as the student except for the colours: the crop, mirrored or not, at
    480x640. A killed call is continued.

    Args:
        teacher: A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres, or an `Ensemble`.
        identity: What distinguishes this teacher from any other, e.g. its file's sha256.
        pairs: The pictures.
        views: Number of views of each, see `teacher_views.count_views`.
        size: Height and width of the answers to keep, those of the student's map.
        augmentation: How to draw the views.
        seed: The training's seed.
        cache_dir: Folder for the answers: two bytes per pixel, 10 kB per view for a map of 64x80.

    Returns:
        The views.

    Raises:
        UserError: An answer is not finite, the disk is too small, or another process fills the
            pool.
    """
    crops = draw_crops(len(pairs), views, augmentation, seed)
    folder = _folder(cache_dir, identity, pairs, crops, size)
    shape = (len(pairs) * views, *size)
    answers = _open(folder, shape)
    if answers is None:
        make_workdir(folder, "cache_dir")
        with locked(folder, "cache_dir"):
            if _open(folder, shape) is None:  # missing or truncated
                _fill(teacher, pairs, crops, augmentation, shape, folder)
        answers = _open(folder, shape)
    if answers is None:
        raise UserError(f"{folder}: vanished while it was written; run again, or choose another "
                        "--cache_dir")
    return TeacherViews(crops, answers)


def _folder(
    cache_dir: str | os.PathLike, identity: str, pairs: Pairs, crops: np.ndarray,
    size: tuple[int, int],
) -> pathlib.Path:
    """The folder, named after all that the answers depend on, including the drawn views."""
    digest = hashlib.sha256(repr((identity, pairs.fingerprint, crops.shape, size)).encode())
    digest.update(crops.astype("<f4").tobytes())
    return pathlib.Path(cache_dir).expanduser() / "teacher_views" / digest.hexdigest()[:20]


def _open(folder: pathlib.Path, shape: tuple[int, ...]) -> BlockFile | None:
    try:
        return BlockFile(folder / "depth.u16", "<u2", shape, discard=folder)
    except (OSError, ValueError):
        return None


def _fill(
    teacher: Any, pairs: Pairs, crops: np.ndarray, augmentation: Augmentation,
    shape: tuple[int, ...], folder: pathlib.Path,
) -> None:
    part = folder / "part.u16"
    part.touch()
    # In whole batches: the last bit of an answer may depend on the rest of its batch.
    done = keep_whole_blocks(part, "<u2", shape, _BATCH)
    left = (shape[0] - done) * (2 * shape[1] * shape[2] + 4)
    require_space(folder, left, "the teacher's answers", "cache_dir")
    answers = _answers(teacher, pairs, crops, augmentation, shape[1:], done)
    with open(part, "ab") as file:
        bar = tqdm(answers, initial=done, total=shape[0], desc="teacher's views", unit="view")
        for number, depth in enumerate(bar, start=done):
            units = np.clip(np.rint(depth * pairs.units_per_m), 1, MAX_UNITS)
            append_block(file, number, np.ascontiguousarray(units.astype("<u2")))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / "depth.u16")


def _answers(
    teacher: Any, pairs: Pairs, crops: np.ndarray, augmentation: Augmentation,
    size: tuple[int, ...], start: int,
) -> Iterator[np.ndarray]:
    """The answers to the views from number `start` on, float32 [*size] in metres."""
    count, views = crops.shape[:2]
    flat = crops.reshape(-1, crops.shape[-1])
    for first in range(start, count * views, _BATCH):
        # One batch shape means one compiled graph, so the last batch is padded.
        rows = np.minimum(np.arange(first, first + _BATCH), count * views - 1)
        rgb = np.asarray(pairs.rgb[rows // views])
        images = views_of(
            tf.constant(rgb), tf.constant(flat[rows]), augmentation, (HEIGHT, WIDTH))
        depth = np.asarray(teacher.predict_on_batch(images.numpy()))
        if not np.isfinite(depth).all():
            bad = int(np.flatnonzero(~np.isfinite(depth).all(axis=(1, 2, 3)))[0])
            raise UserError(f"--teacher: its answer to {pairs.names[rows[bad] // views]} is not "
                            "finite; give another --teacher, or remove the picture")
        small = keras.ops.image.resize(depth, size, interpolation="bilinear")
        yield from np.asarray(small)[: count * views - first, ..., 0]
