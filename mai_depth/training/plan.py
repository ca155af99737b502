"""Turns a job into its runs: what to build, where to start, what to learn, where to save it."""

import dataclasses
import pathlib

import keras
import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.data.representative import representative
from mai_depth.data.sources import home_focal_length
from mai_depth.errors import UserError
from mai_depth.network.model_file import load_model
from mai_depth.network.pretrained import encoder_file
from mai_depth.network.pretrained import network_file
from mai_depth.network.pruning import prune_encoder
from mai_depth.network.student import Preset
from mai_depth.network.student import build_student
from mai_depth.network.student import copy_mean_student
from mai_depth.network.student import size_of
from mai_depth.network.teacher import build_teacher
from mai_depth.training.evaluation import geometric_mean_depth
from mai_depth.training.finer_levels import check_train_stride
from mai_depth.training.finer_levels import with_finer_levels
from mai_depth.training.job import Student
from mai_depth.training.job import TrainingJob
from mai_depth.training.run import Run

_PRUNING_PICTURES = 64


def own_teacher_path(job: TrainingJob, train: Pairs) -> pathlib.Path:
    """The file of the teacher that a job trains itself, beside the student's folder.

    Its name holds the data's fingerprint, so that a teacher of other data is never used by
    accident.

    Args:
        job: The job.
        train: Its training pairs.
    """
    folder = f"teacher_{job.teacher.preset}_{train.fingerprint[:8]}_{len(train)}"
    return job.workdir.parent / folder / "teacher.keras"


def plan_teacher(job: TrainingJob, train: Pairs, validation: Pairs) -> Run:
    """Describes the training of a teacher on the same data as the student (paper, section 2.2).

    Args:
        job: The job.
        train: The training pairs; the head starts at their mean depth.
        validation: The pairs to measure after each epoch.

    Raises:
        UserError: A batch is larger than the data.
    """
    teacher = job.teacher
    _check_batch(train, teacher.recipe.batch_size, "--teacher_batch_size")

    def build() -> keras.Model:
        model = build_teacher(teacher.preset, max_depth_m=job.max_depth_m, weights=teacher.weights)
        return _start_at(model, geometric_mean_depth(train.home), job.max_depth_m)

    builder = {"teacher_preset": teacher.preset, "teacher_weights": teacher.weights}
    return Run(build, train, validation, own_teacher_path(job, train), teacher.recipe,
               job.max_depth_m, {"builder": builder}, job.options)


def student_size(student: Student) -> Preset:
    """The size of the student that is saved.

    Raises:
        UserError: A preset or a size that does not exist.
    """
    size = size_of(student.preset, decoder_stride=student.decoder_stride, fusion=student.fusion,
                   grid_size=student.grid_size)
    check_train_stride(size.decoder_stride, student.train_stride)
    return size


def plan_student(job: TrainingJob, train: Pairs, validation: Pairs) -> Run:
    """Describes the training of a student; `runs.train` adds its teacher.

    Args:
        job: The job.
        train: The training pairs; the head starts at their mean depth.
        validation: The pairs to measure after each epoch.

    Raises:
        UserError: A batch is larger than the data.
    """
    _check_batch(train, job.recipe.batch_size, "--batch_size")
    student = job.student
    size = student_size(student)
    pruned: list[np.ndarray] = []  # a run builds its model several times

    def build() -> keras.Model:
        arguments = dataclasses.asdict(student)
        for name in ("train_stride", "prune_from", "student_weights"):
            del arguments[name]
        start = student.prune_from or student.student_weights
        arguments["encoder_weights"] = None if start else encoder_file(student.encoder_weights)
        model = build_student(**arguments, max_depth_m=job.max_depth_m)
        if student.student_weights:
            copy_mean_student(
                [network_file(name, "student_weights") for name in student.student_weights], model)
            return model
        if student.prune_from:
            _start_pruned(model, student.prune_from, train.home, pruned)
        return _start_at(model, geometric_mean_depth(train.home), job.max_depth_m)

    def extend(model: keras.Model) -> keras.Model:
        return with_finer_levels(model, student.train_stride or 2, size.fusion)

    description: dict = {"builder": student.record}
    if job.distils:
        description |= {"teacher_views": job.teacher_views, "mirror_teacher": job.teacher.mirror}
    return Run(build, train, validation, job.student_path, job.recipe, job.max_depth_m,
               description, job.options,
               depth_size=size.grid_size if size.decoder_stride > 2 else None,
               extend=extend if student.train_stride else None,
               focal_length=home_focal_length(job.data))


def _start_at(model: keras.Model, depth_m: float, max_depth_m: float) -> keras.Model:
    """Sets the head's bias so that the untrained model answers with a plausible depth."""
    kernel, bias = model.get_layer("depth_logits").get_weights()
    share = min(depth_m / max_depth_m, 0.99)
    model.get_layer("depth_logits").set_weights([kernel, bias + np.log(share / (1 - share))])
    return model


def _start_pruned(
    model: keras.Model, source: str, pairs: Pairs, pruned: list[np.ndarray]
) -> None:
    """Starts the encoder from a wider student; `pruned` keeps all weights for the next call."""
    if not pruned:
        wide = load_model(network_file(source, "prune_from"))
        prune_encoder(wide, model, representative(pairs, min(_PRUNING_PICTURES, len(pairs))))
        pruned.extend(model.get_weights())
    model.set_weights(pruned)


def _check_batch(pairs: Pairs, batch_size: int, flag: str) -> None:
    if pairs.epoch_size < batch_size:
        plural = "s" * (pairs.epoch_size > 1)
        raise UserError(f"{flag}={batch_size}: more than the {pairs.epoch_size} training "
                        f"pair{plural}; lower it or add pictures")
