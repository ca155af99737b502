"""The teacher's answers, computed once: a 300M-parameter teacher costs one pass over the data."""

import hashlib
import os
import pathlib

import keras
import numpy as np
from tqdm import tqdm

from mai_depth.atomic import atomic_path
from mai_depth.atomic import remove_abandoned
from mai_depth.data.block_file import BlockFile
from mai_depth.data.block_file import append_block
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.pairs import Pairs
from mai_depth.depth import MAX_UNITS
from mai_depth.errors import UserError
from mai_depth.training.evaluation import predict_pairs
from mai_depth.workdir import require_space

_BYTES_PER_MAP = HEIGHT * WIDTH * 2


def check_answer(teacher: keras.Model, path: str | os.PathLike, pairs: Pairs) -> None:
    """Asks a teacher once, before the training of hours that would learn from it.

    Args:
        teacher: A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres.
        path: Its file, for the message.
        pairs: The first picture is asked for.

    Raises:
        UserError: The answer is no depth.
    """
    depth = next(predict_pairs(teacher, pairs))
    if not (np.isfinite(depth).all() and depth.min() >= 0 and depth.min() < depth.max()):
        raise UserError(f"{path}: this teacher answers {depth.min():g} to {depth.max():g} m to a "
                        "training picture, which is no depth map; give another --teacher")


def check_view(teacher: keras.Model, path: str | os.PathLike) -> None:
    """Checks that a teacher can be asked at every step, about pictures of its view's size.

    Args:
        teacher: The model.
        path: Its file, for the message.

    Raises:
        UserError: It has not the layers of our own networks.
    """
    missing = {"view", "depth_logits", "depth_low"} - {layer.name for layer in teacher.layers}
    if missing:
        raise UserError(f"{path}: has no layer {min(missing)!r}, which --nocache_teacher and "
                        "--distill=features need; leave these flags out for this --teacher")


def cache_teacher_depth(
    teacher: keras.Model,
    teacher_path: str | os.PathLike,
    pairs: Pairs,
    cache_dir: str | os.PathLike,
) -> BlockFile:
    """Asks the teacher for the depth of every picture, or finds its answers of an earlier run.

    Args:
        teacher: A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres.
        teacher_path: Its file; the answers belong to the content of this file.
        pairs: The pictures.
        cache_dir: Where the answers are kept: 0.6 MB a picture.

    Returns:
        uint16 [count, 480, 640] in the units of `pairs`.

    Raises:
        UserError: An answer is not finite, or the disk is too small.
    """
    digest = hashlib.sha256(pathlib.Path(teacher_path).read_bytes()).hexdigest()
    folder = pathlib.Path(cache_dir).expanduser() / "teacher_depth"
    path = folder / f"{digest[:16]}-{pairs.fingerprint[:16]}-{len(pairs)}.u16"
    answers = _open(path, pairs)
    if answers is None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        require_space(folder, len(pairs) * _BYTES_PER_MAP, "the teacher's answers", "cache_dir")
        with atomic_path(path) as temporary:
            _write(teacher, teacher_path, pairs, temporary)
        answers = _open(path, pairs)
    if answers is None:
        raise UserError(f"{path}: vanished while it was written; run again, or choose another "
                        "--cache_dir")
    return answers


def _open(path: pathlib.Path, pairs: Pairs) -> BlockFile | None:
    try:
        return BlockFile(path, "<u2", (len(pairs), HEIGHT, WIDTH), discard=path)
    except (OSError, ValueError):  # not there, or cut off
        return None


def _write(
    teacher: keras.Model, teacher_path: str | os.PathLike, pairs: Pairs, path: pathlib.Path
) -> None:
    predictions = predict_pairs(teacher, pairs)
    with open(path, "wb") as file:
        bar = tqdm(predictions, total=len(pairs), desc="teacher's depth")
        for number, depth in enumerate(bar):
            if not np.isfinite(depth).all():
                raise UserError(f"{teacher_path}: this teacher's answer to {pairs.names[number]} "
                                "is not finite; give another --teacher, or remove the picture")
            units = np.clip(np.rint(depth * pairs.units_per_m), 1, MAX_UNITS)
            append_block(file, number, units.astype("<u2"))
