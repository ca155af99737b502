"""Training: data -> teacher -> student -> workdir. What `train.py` calls."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.network.model_file import load_model
from mai_depth.network.pretrained import encoder_file
from mai_depth.network.student import build_student
from mai_depth.network.teacher import build_teacher
from mai_depth.network.teacher import load_teacher
from mai_depth.training.evaluation import evaluate
from mai_depth.training.evaluation import evaluate_constant
from mai_depth.training.evaluation import geometric_mean_depth
from mai_depth.training.evaluation import predict_pairs
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.run import Conduct
from mai_depth.training.run import Recipe
from mai_depth.training.run import Run
from mai_depth.training.run import finished_metrics
from mai_depth.training.run import load_state
from mai_depth.training.sheet import save_sheet
from mai_depth.training.teacher_depth import cache_teacher_depth
from mai_depth.training.teacher_depth import check_answer
from mai_depth.training.teacher_depth import check_view
from mai_depth.workdir import make_workdir

SHEET_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Student:
    """What `build_student` is asked for."""

    preset: str = "student_90m"
    alpha: float | None = None
    decoder_filters: tuple[int, ...] | None = None
    minimalistic: bool = False
    antialias: bool = False
    encoder_weights: str | None = None


@dataclasses.dataclass(frozen=True)
class Teacher:
    """What `build_teacher` is asked for, and whether the teacher answers once or at every step."""

    preset: str = "vit_ti"
    weights: str | None = None
    cache: bool = True


def default_teacher_path(workdir: str | os.PathLike, preset: str, pairs: Pairs) -> pathlib.Path:
    """Where the teacher of some data lies: its name holds the data's fingerprint.

    So a teacher of other data is never picked up by accident.
    """
    folder = f"teacher_{preset}_{pairs.fingerprint[:8]}_{len(pairs)}"
    return pathlib.Path(workdir).parent / folder / "teacher.keras"


def train_teacher(
    teacher: Teacher,
    recipe: Recipe,
    train: Pairs,
    validation: Pairs,
    *,
    path: pathlib.Path,
    max_depth_m: float,
    conduct: Conduct,
) -> dict[str, float]:
    """Trains a teacher on the same data as the student (paper, section 2.2).

    Args:
        teacher: What to build.
        recipe: How to train it; without distillation.
        train: What is learned.
        validation: What is measured after each epoch.
        path: The `.keras` file to write.
        max_depth_m: The depth that the head reaches.
        conduct: How the run behaves.

    Returns:
        The metrics of the saved file on `validation`.

    Raises:
        UserError: Too few pictures, weights that cannot be loaded, a loss that is not finite.
    """
    _check_batch(train, recipe.batch_size, "--teacher_batch_size")
    make_workdir(path.parent)

    def build() -> keras.Model:
        model = build_teacher(teacher.preset, max_depth_m=max_depth_m, weights=teacher.weights)
        return _start_at(model, geometric_mean_depth(train), max_depth_m)

    builder = {"teacher_preset": teacher.preset, "teacher_weights": teacher.weights}
    return fit_depth_model(Run(
        build, train, validation, path, recipe, max_depth_m, {"builder": builder}, conduct))


def compute_deterministically() -> None:
    """Makes every operation give the same bits each time; call it before the first one."""
    tf.config.experimental.enable_op_determinism()


def student_run(
    student: Student,
    recipe: Recipe,
    train: Pairs,
    validation: Pairs,
    *,
    workdir: pathlib.Path,
    max_depth_m: float,
    conduct: Conduct,
    teacher: Teacher | None = None,
    teacher_path: pathlib.Path | None = None,
) -> Run:
    """Describes the training of a student, for `is_finished` and `train_student`.

    Args:
        student: What to build.
        recipe: How to train it.
        train: What is learned.
        validation: What is measured.
        workdir: The folder to fill.
        max_depth_m: The depth that the head reaches.
        conduct: How the run behaves.
        teacher: How the teacher is asked, or None to train without one.
        teacher_path: Its file; its content decides on the result.
    """
    def build() -> keras.Model:
        arguments = dataclasses.asdict(student)
        arguments["encoder_weights"] = encoder_file(student.encoder_weights)
        model = build_student(**arguments, max_depth_m=max_depth_m)
        return _start_at(model, geometric_mean_depth(train), max_depth_m)

    description = {"builder": dataclasses.asdict(student)}
    if teacher is not None:
        description["cache_teacher"] = teacher.cache
        if teacher_path.is_file():
            description["teacher"] = hashlib.sha256(teacher_path.read_bytes()).hexdigest()
    return Run(build, train, validation, workdir / "student.keras", recipe, max_depth_m,
               description, conduct)


def check_student(run: Run) -> None:
    """Builds the student once, so that its flags fail before a teacher costs minutes or days.

    Args:
        run: From `student_run`.

    Raises:
        UserError: The student cannot be built or started, or a batch is larger than the data.
    """
    _check_batch(run.train_pairs, run.recipe.batch_size, "--batch_size")
    run.build()


def is_finished(run: Run) -> bool:
    """Tells whether `train_student` has done all for this run.

    Raises:
        UserError: Another run has left its files there.
    """
    if not run.conduct.overwrite:
        load_state(run)
    return finished_metrics(run) is not None and run.path.with_name("sheet.png").is_file()


def train_student(
    run: Run,
    *,
    cache_dir: str,
    teacher: Teacher | None = None,
    teacher_path: pathlib.Path | None = None,
) -> dict[str, dict[str, float]]:
    """Distils the student and leaves `student.keras`, `student.json`, `log.csv` and `sheet.png`.

    Args:
        run: From `student_run`.
        cache_dir: Where the teacher's answers are kept.
        teacher: How the teacher is asked, or None to train without one.
        teacher_path: Its file.

    Returns:
        Metrics on `validation` by row: `constant depth`, `teacher` if there is one, `student`; all
        of saved files fed with 480x640 pictures.

    Raises:
        UserError: Too few pictures, a teacher that is no depth model, a loss that is not finite.
    """
    train, validation = run.train_pairs, run.validation_pairs
    models = {"teacher": load_teacher(teacher_path)} if teacher else {}
    asked, answers = _teacher_arguments(
        models.get("teacher"), teacher, teacher_path, run.recipe, train, cache_dir)
    fit_depth_model(dataclasses.replace(run, teacher=asked, teacher_depth=answers))
    models["student"] = load_model(run.path)
    rows = {"constant depth": evaluate_constant(train, validation)}
    rows |= {name: evaluate(model, validation, progress=name) for name, model in models.items()}
    _write_sheet(run.path.with_name("sheet.png"), validation, models)
    return rows


def _start_at(model: keras.Model, depth_m: float, max_depth_m: float) -> keras.Model:
    """Sets the head's bias so that the untrained model answers with a plausible depth."""
    kernel, bias = model.get_layer("depth_logits").get_weights()
    share = min(depth_m / max_depth_m, 0.99)
    model.get_layer("depth_logits").set_weights([kernel, bias + np.log(share / (1 - share))])
    return model


def _teacher_arguments(
    model: keras.Model | None,
    teacher: Teacher | None,
    path: pathlib.Path | None,
    recipe: Recipe,
    train: Pairs,
    cache_dir: str,
) -> tuple[keras.Model | None, Any]:
    """The teacher to ask at every step, or its answers of one pass: one of the two is None."""
    if model is None:
        return None, None
    check_answer(model, path, train)
    if recipe.distill == "features" or not teacher.cache:
        check_view(model, path)
        return model, None
    return None, cache_teacher_depth(model, path, train, cache_dir)


def format_rows(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Lays out metrics as an aligned table: one line a row, one column a metric."""
    names = [name for name in next(iter(rows.values())) if name != "images"]
    lines = [" " * 16 + "".join(f"{name:>9}" for name in names)]
    for title, metrics in rows.items():
        lines.append(f"{title:<16}" + "".join(f"{metrics[name]:9.4f}" for name in names))
    return "\n".join(lines)


def _check_batch(pairs: Pairs, batch_size: int, flag: str) -> None:
    if len(pairs) < batch_size:
        raise UserError(f"{flag}={batch_size}: more than the {len(pairs)} training pairs; lower "
                        "it or add pictures")


def _write_sheet(path: pathlib.Path, pairs: Pairs, models: Mapping[str, keras.Model]) -> None:
    rows = min(SHEET_ROWS, len(pairs))
    indices = np.linspace(0, len(pairs) - 1, rows).astype(int)
    chosen = pairs.select(indices)
    predictions = {name: list(predict_pairs(model, chosen)) for name, model in models.items()}
    save_sheet(path, pairs, indices, predictions)
