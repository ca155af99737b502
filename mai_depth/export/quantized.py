"""Quantization-aware training of a student and the export of what came of it."""

import dataclasses
import os
import pathlib
from typing import Any

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.pairs import Pairs
from mai_depth.data.representative import representative
from mai_depth.export.conversion import scaled_grids
from mai_depth.export.litert import ExportOptions
from mai_depth.export.litert import export_tflite
from mai_depth.export.stages import take_apart
from mai_depth.export.stages import with_core
from mai_depth.network.model_file import load_model
from mai_depth.quantize.aware import IntegerCore
from mai_depth.quantize.fine_tuning import fine_tune
from mai_depth.training.job import Teacher
from mai_depth.training.run import Recipe
from mai_depth.training.run import Run
from mai_depth.training.teaching import taught_by
from mai_depth.training.teaching import teach

RECIPE = Recipe(
    epochs=3, batch_size=16, learning_rate=3e-5, adam_epsilon=1e-7, distillation_loss_weight=30.0,
    augmentation=Augmentation(min_crop=0.6))
"""The same as recipes/qat.flags."""

_OPTIONS = ExportOptions("qat")
_ITSELF = Teacher()  # no paths: the student as it is in floats
_CALIBRATION = 64  # pictures, as for int8


def train_quantized(
    student_path: str | os.PathLike,
    output: str | os.PathLike,
    train: Pairs,
    validation: Pairs,
    recipe: Recipe,
    *,
    cache_dir: str,
    options: ExportOptions = _OPTIONS,
    teacher: Teacher = _ITSELF,
    allow_inaccurate: bool = False,
) -> dict[str, Any]:
    """Fine-tunes a trained student for integers and exports it.

    Args:
        student_path: The `.keras` file that train.py left.
        output: The `.tflite` file to write; `output.json` is written beside it.
        train: What is learned.
        validation: What is measured after each epoch, and verified with.
        recipe: How to train; few epochs at a small learning rate.
        cache_dir: Where the teacher's answers are kept.
        options: What else the file is like.
        teacher: The teachers to distil from and how they are asked; with no `paths` it is the
            student as it is in floats.
        allow_inaccurate: As in `litert.export_tflite`.

    Returns:
        The content of the sidecar.

    Raises:
        UserError: A bad model or teacher, too few pictures, a loss that is not finite, or a file
            that is not accurate.
    """
    model = load_model(student_path)
    parts = take_apart(model, student_path)
    run = Run(
        lambda: model, train, validation, pathlib.Path(output), recipe, parts.max_depth_m,
        depth_size=parts.grid_size)
    if recipe.distillation_loss_weight:
        paths = teacher.paths or (pathlib.Path(student_path),)
        run, _ = teach(
            taught_by(paths, run), teacher, paths, teacher.views_for(recipe), cache_dir)
    images = representative(train, min(_CALIBRATION, len(train)))
    core = IntegerCore(parts.core, scaled_grids(parts, images))
    fine_tune(with_core(model, parts, core), run)
    return export_tflite(
        student_path, output, options, validation, core=core.to_tflite(),
        allow_inaccurate=allow_inaccurate)


def recipe_for(count: int) -> Recipe:
    """The recipe for `count` training pictures: few of them make smaller batches."""
    return dataclasses.replace(RECIPE, batch_size=max(1, min(RECIPE.batch_size, count)))
