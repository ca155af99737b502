"""How a run's student is taught: its teachers are loaded, and asked beforehand or at every step."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.network.model_archive import TEACHER_BYTES
from mai_depth.network.model_archive import read_config
from mai_depth.network.teacher import load_teacher
from mai_depth.training.ensemble import Ensemble
from mai_depth.training.evaluation import predict_pairs
from mai_depth.training.job import Teacher
from mai_depth.training.run import Run
from mai_depth.training.teacher_pool import fill_teacher_views


def check_teachers(teacher: Teacher, views: int) -> None:
    """Reads what can be read of the teachers before the scenes take a minute.

    Args:
        teacher: Which ones.
        views: How many views of each picture they are asked for beforehand; 0: at every step.

    Raises:
        UserError: A file is no teacher, or the teachers cannot be asked so.
    """
    for path in teacher.paths:
        read_config(path, TEACHER_BYTES)
    if not views and (len(teacher.paths) > 1 or teacher.mirror):
        raise UserError("--nocache_teacher and --distill=features ask one --teacher, and not "
                        "mirrored; give one and leave out --mirror_teacher, or cache its answers")


def taught_by(paths: Sequence[pathlib.Path], run: Run) -> Run:
    """The run with its teachers' checksums: their content decides on the result."""
    digests = []
    for path in paths:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return dataclasses.replace(
        run, description={**run.description, "teacher": ",".join(digests)})


def teach(
    run: Run, teacher: Teacher, paths: Sequence[pathlib.Path], views: int, cache_dir: str
) -> tuple[Run, keras.Model | Ensemble]:
    """Loads a run's teachers, and asks them beforehand where they are not asked at every step.

    Args:
        run: Of `taught_by`.
        teacher: How they are asked.
        paths: Their `.keras` files.
        views: How many views of each picture they answer beforehand; 0: at every step.
        cache_dir: Where answers are kept.

    Returns:
        The run with the teacher, or with its answers; the teacher, of several all as one.

    Raises:
        UserError: A file is no depth model, answers no depth, or cannot be asked so; see also
            `fill_teacher_views`.
    """
    models = [load_teacher(path) for path in paths]
    for model, path in zip(models, paths, strict=True):
        check_answer(model, path, run.train_pairs)
    if not views:
        check_view(models[0], paths[0])
        return dataclasses.replace(run, teacher=models[0]), models[0]
    several = len(models) > 1 or teacher.mirror
    asked = Ensemble(models, mirror=teacher.mirror) if several else models[0]
    pool = fill_teacher_views(
        asked, f"{run.description['teacher']} {teacher.mirror}", run.train_pairs,
        views=views, size=_map_size(run), augmentation=run.recipe.augmentation,
        seed=run.recipe.seed, cache_dir=cache_dir)
    return dataclasses.replace(run, teacher_views=pool), asked


def check_answer(teacher: keras.Model, path: pathlib.Path, pairs: Pairs) -> None:
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


def check_view(teacher: keras.Model, path: pathlib.Path) -> None:
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


def _map_size(run: Run) -> tuple[int, int]:
    """Of the student, where it is compared with its teacher."""
    return run.map_size or tuple(run.build().get_layer("depth_logits").output.shape[1:3])
