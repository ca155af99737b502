"""Training: data -> teacher -> student -> workdir. What `train.py` calls."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mai_depth.atomic import write_json_atomic
from mai_depth.data.mixture import Mixture
from mai_depth.data.origin import data_origins
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import count_same_pictures
from mai_depth.data.pairs import describe
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import open_data
from mai_depth.data.sources import open_others
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.network.model_archive import TEACHER_BYTES
from mai_depth.network.model_archive import read_config
from mai_depth.network.model_file import load_model
from mai_depth.network.pretrained import encoder_file
from mai_depth.network.pretrained import network_file
from mai_depth.training.evaluation import evaluate
from mai_depth.training.evaluation import evaluate_constant
from mai_depth.training.evaluation import predict_pairs
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.job import Student
from mai_depth.training.job import TrainingJob
from mai_depth.training.plan import own_teacher_path
from mai_depth.training.plan import plan_student
from mai_depth.training.plan import plan_teacher
from mai_depth.training.plan import student_size
from mai_depth.training.run import Run
from mai_depth.training.run import finished_metrics
from mai_depth.training.run import is_complete
from mai_depth.training.run import load_state
from mai_depth.training.sheet import save_sheet
from mai_depth.training.teaching import check_teachers
from mai_depth.training.teaching import taught_by
from mai_depth.training.teaching import teach
from mai_depth.training.workers import workers_or_one
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir

SHEET_ROWS = 8


def train(job: TrainingJob) -> None:
    """Trains a student, and its teacher first if there is none; prints where the results are.

    `job.workdir` then holds `student.keras`, `student.json`, `log.csv` and `sheet.png`. An
    interrupted call is continued.

    Args:
        job: The job; no other process may write to its `workdir` (see `workdir.locked`).

    Raises:
        UserError: Something is wrong with the data, a model, the folder or the flags.
        Stopped: After SIGTERM or Ctrl-C.
    """
    student_size(job.student)  # what is wrong fails before rendering scenes takes a minute
    _check_starts(job.student)
    if job.distils:
        check_teachers(job.teacher, job.teacher_views)
    workers = workers_or_one(job.options.workers)
    pairs = workers.chief_first(lambda: open_and_describe(job.data))
    own = own_teacher_path(job, pairs[0])
    paths = (job.teacher.paths or (own,)) if job.distils else ()
    waits = workers.chief_says(
        lambda: job.distils and not job.teacher.paths and not is_complete(own))
    workers.check_batch(job.recipe.batch_size)
    if waits:
        workers.check_batch(job.teacher.recipe.batch_size, "teacher_batch_size")
    run = dataclasses.replace(plan_student(job, *pairs), sources=data_origins(job.data))
    if paths and not waits:
        run = taught_by(paths, run)
    if workers.chief_says(lambda: _is_finished(run)):
        print(f"{run.path}: already trained with these flags and data; --overwrite trains again")
        return
    run.build()  # once, so that bad flags fail before a teacher takes minutes or days
    if waits:
        print("a teacher is trained first; --distillation_loss_weight=0 trains without one")
        _train_teacher(job, *pairs)
        run = taught_by(paths, run)
    rows = _train_student(run, job, paths)
    if not workers.is_chief:
        return
    print(format_rows(rows | _measure_elsewhere(run, job.data)))
    print(f"{run.path}: the student; {_sheet_of(run)}: what it sees")


def _check_starts(student: Student) -> None:
    """Checks the files that a student starts from."""
    encoder_file(student.encoder_weights)
    if student.prune_from and student.student_weights:
        raise UserError("--student_weights: starts the whole student; leave --prune_from out")
    starts = [("student_weights", name) for name in student.student_weights]
    if student.prune_from:
        starts.append(("prune_from", student.prune_from))
    for flag, start in starts:
        read_config(network_file(start, flag), TEACHER_BYTES)


def train_teacher(job: TrainingJob) -> None:
    """Trains or continues only the teacher of a job.

    Args:
        job: The job; its student is ignored.

    Raises:
        UserError: Something is wrong with the data, the weights, the folder or the flags.
        Stopped: After SIGTERM or Ctrl-C.
    """
    if job.teacher.paths:
        raise UserError(f"--teacher={job.teacher.paths[0]}: --train=teacher makes a new one beside "
                        "--workdir; leave --teacher out")
    workers = workers_or_one(job.options.workers)
    _train_teacher(job, *workers.chief_first(lambda: open_and_describe(job.data)))


def open_and_describe(data: DataOptions) -> tuple[Pairs, Pairs]:
    """Opens the training and the validation pairs and prints what they are.

    Args:
        data: Where they come from.

    Raises:
        UserError: Something is wrong with the folder or a file in it.
    """
    train, validation = open_data(data)
    if isinstance(train, Mixture):
        for folder, count in zip(train.folders, train.counts, strict=True):
            print(f"{folder.name}: {count} pictures of an epoch, {describe(folder.pairs)}"
                  f"{'; ' if folder.note else ''}{folder.note}")
    print(f"training: {describe(train)}; validation: {len(validation)} pairs")
    if same := count_same_pictures(train, validation):
        print(f"WARNING: {same} of {len(validation)} validation pictures are also training "
              "pictures; the metrics will look better than the network is")
    return train, validation


def _is_finished(run: Run) -> bool:
    """Whether nothing is left to do; `UserError` if the folder holds another run."""
    if not run.options.overwrite:
        load_state(run)
    return finished_metrics(run) is not None and _sheet_of(run).is_file()


def _train_teacher(job: TrainingJob, train: Pairs, validation: Pairs) -> None:
    run = plan_teacher(job, train, validation)
    print(f"training the teacher {job.teacher.preset} (--teacher_epochs={run.recipe.epochs}): "
          f"{run.path}")
    with contextlib.ExitStack() as stack:
        if workers_or_one(job.options.workers).is_chief:  # students of several folders may share it
            stack.enter_context(locked(make_workdir(run.path.parent)))
        fit_depth_model(run)


def _train_student(
    run: Run, job: TrainingJob, paths: Sequence[pathlib.Path]
) -> dict[str, dict[str, float]]:
    """Distils the student.

    Returns:
        Metrics on the validation pairs by row: `constant depth`, `teacher` if there is one,
        `student`; all of saved files fed with 480x640 pictures. Only the chief measures.
    """
    models, workers = {}, workers_or_one(job.options.workers)
    if paths:
        run, models["teacher"] = workers.chief_first(lambda: teach(
            run, job.teacher, paths, job.teacher_views, job.data.cache_dir))
    fit_depth_model(run)
    if not workers.is_chief:
        return {}
    models["student"] = load_model(run.path)
    rows = {"constant depth": evaluate_constant(run.train_pairs.home, run.validation_pairs)}
    rows |= {name: evaluate(model, run.validation_pairs, progress=name)
             for name, model in models.items()}
    _write_sheet(_sheet_of(run), run.validation_pairs, models)
    return rows


def _measure_elsewhere(run: Run, data: DataOptions) -> dict[str, dict[str, float]]:
    """Measures the student on the other folders' validation pairs, also for its `.json`."""
    others = open_others(data)
    if not others:
        return {}
    student = load_model(run.path)
    metrics = {name: evaluate(student, pairs, progress=name) for name, pairs in others.items()}
    beside = run.path.with_suffix(".json")
    write_json_atomic(beside, {**read_json(beside), "other_metrics": metrics})
    return {f"student, {name}": row for name, row in metrics.items()}


def _sheet_of(run: Run) -> pathlib.Path:
    return run.path.with_name("sheet.png")


def _write_sheet(path: pathlib.Path, pairs: Pairs, models: Mapping[str, keras.Model]) -> None:
    rows = min(SHEET_ROWS, len(pairs))
    indices = np.linspace(0, len(pairs) - 1, rows).astype(int)
    chosen = pairs.select(indices)
    predictions = {name: list(predict_pairs(model, chosen)) for name, model in models.items()}
    save_sheet(path, pairs, indices, predictions)


def format_rows(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Lays out metrics as an aligned table, one column per metric."""
    names = [name for name in next(iter(rows.values())) if name != "images"]
    width = max(16, 1 + max(map(len, rows)))
    lines = [" " * width + "".join(f"{name:>9}" for name in names)]
    for title, metrics in rows.items():
        lines.append(f"{title:<{width}}" + "".join(f"{metrics[name]:9.4f}" for name in names))
    return "\n".join(lines)
