"""Loads the teachers of a run and asks them, beforehand or at every step."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from mai_depth.checksum import file_sha256
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
    """Checks the teachers' files and flags before rendering scenes takes a minute.

    Args:
        teacher: The teachers.
        views: Views of each picture to ask for beforehand; 0 asks at every step.

    Raises:
        UserError: A file is not a teacher, or the teachers cannot be asked at every step.
    """
    for path in teacher.paths:
        read_config(path, TEACHER_BYTES)
    if not views and (len(teacher.paths) > 1 or teacher.mirror):
        raise UserError("--nocache_teacher and --distill=features take one --teacher, without "
                        "--mirror_teacher; give one, or leave these flags out")


def taught_by(paths: Sequence[pathlib.Path], run: Run) -> Run:
    """Adds the teachers' checksums to a run: their content determines the result."""
    digests = ",".join(map(file_sha256, paths))
    return dataclasses.replace(run, description={**run.description, "teacher": digests})


def teach(
    run: Run, teacher: Teacher, paths: Sequence[pathlib.Path], views: int, cache_dir: str
) -> tuple[Run, keras.Model | Ensemble]:
    """Loads a run's teachers, and asks them now unless they are asked at every step.

    Args:
        run: From `taught_by`.
        teacher: How to ask them.
        paths: Their `.keras` files.
        views: Views of each picture to ask for now; 0 asks at every step.
        cache_dir: Folder for their answers.

    Returns:
        The run with the teacher or with its answers, and the teacher; several become one.

    Raises:
        UserError: A file is not a depth model, its answer is not a depth map, or it cannot be asked
            at every step; see also `fill_teacher_views`.
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
    """Asks a teacher once, before hours of training learn from it.

    Args:
        teacher: A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres.
        path: Its file, for the message.
        pairs: The pictures, of which the first is used.

    Raises:
        UserError: The answer is not a depth map.
    """
    depth = next(predict_pairs(teacher, pairs))
    if not (np.isfinite(depth).all() and depth.min() >= 0 and depth.min() < depth.max()):
        raise UserError(f"{path}: this teacher answers {depth.min():g} to {depth.max():g} m for a "
                        "training picture, which is not a depth map; give another --teacher")


def check_view(teacher: keras.Model, path: pathlib.Path) -> None:
    """Checks that a teacher can be asked at every step, with pictures of its view's size.

    Args:
        teacher: The model.
        path: Its file, for the message.

    Raises:
        UserError: It lacks the layers of this project's networks.
    """
    missing = {"view", "depth_logits", "depth_low"} - {layer.name for layer in teacher.layers}
    if missing:
        raise UserError(f"{path}: has no layer {min(missing)!r}, which --nocache_teacher and "
                        "--distill=features need; leave these flags out for this --teacher")


def _map_size(run: Run) -> tuple[int, int]:
    """The size at which the student is compared with its teacher."""
    return run.map_size or tuple(run.build().get_layer("depth_logits").output.shape[1:3])
