"""The settings of a training, from its data to its folder. Needs no TensorFlow."""

import dataclasses
import pathlib
from typing import Any

from mai_depth.data.sources import DataOptions
from mai_depth.data.teacher_views import count_views
from mai_depth.training.run import Recipe
from mai_depth.training.run import RunOptions

_LATER = ("decoder_stride", "fusion", "grid_size", "slim", "train_stride", "prune_from",
          "student_weights")


@dataclasses.dataclass(frozen=True)
class Student:
    """The arguments of `build_student`, None for the preset's own, and three more.

    Attributes:
        train_stride: Stride to which the decoder continues in training, see
            `training.finer_levels`.
        prune_from: A wider student to start the encoder from, see `network.pruning`.
        student_weights: Students of the same size to start from the mean of, decoder and head as
            well.
    """

    preset: str = "student_90m"
    alpha: float | None = None
    decoder_filters: tuple[int, ...] | None = None
    minimalistic: bool = False
    antialias: bool = False
    encoder_weights: str | None = None
    decoder_stride: int | None = None
    fusion: str | None = None
    grid_size: tuple[int, ...] | None = None
    slim: bool = False
    train_stride: int | None = None
    prune_from: str | None = None
    student_weights: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """The settings for a run's `.json`.

        Those that earlier versions lacked are left out at their defaults, so that runs of these
        versions can be continued.
        """
        default = Student()
        return {name: value for name, value in dataclasses.asdict(self).items()
                if name not in _LATER or value != getattr(default, name)}


@dataclasses.dataclass(frozen=True)
class Teacher:
    """Which teacher to distil a student from, and how to ask it.

    Attributes:
        paths: `.keras` depth models, whose log depth is averaged. If there are none: the teacher of
            these data beside the student's folder, trained first if it is missing.
        preset: What `build_teacher` then builds.
        weights: Its initial weights.
        recipe: How to train it.
        cache: Whether to ask beforehand, for `views` of each picture, or at every step.
        views: Number of views of a picture, if there are random crops.
        mirror: Whether to ask for the mirror image of each view as well.
    """

    paths: tuple[pathlib.Path, ...] = ()
    preset: str = "vit_ti"
    weights: str | None = None
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    cache: bool = True
    views: int = 8
    mirror: bool = False

    def views_for(self, recipe: Recipe) -> int:
        """Views of each picture to ask for beforehand; 0 asks at every step.

        An epoch shows one view of a picture, so no more views than epochs are needed.
        """
        if recipe.distill == "features" or not self.cache:
            return 0
        return count_views(min(self.views, recipe.epochs), recipe.augmentation)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """All settings of `train.py`.

    Attributes:
        workdir: The folder to write to; a teacher gets a folder beside it.
        data: The pictures.
        student: The network to train.
        teacher: Its teacher, unless `recipe.distillation_loss_weight` is 0.
        recipe: How to train the student.
        max_depth_m: The depth at which both heads saturate.
        options: How the runs behave.
    """

    workdir: pathlib.Path
    data: DataOptions
    student: Student = dataclasses.field(default_factory=Student)
    teacher: Teacher = dataclasses.field(default_factory=Teacher)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    max_depth_m: float = 40.0
    options: RunOptions = dataclasses.field(default_factory=RunOptions)

    @property
    def distils(self) -> bool:
        """Whether the student has a teacher."""
        return self.recipe.distillation_loss_weight > 0

    @property
    def teacher_views(self) -> int:
        """Views of each picture to ask the teacher for beforehand; 0 asks at every step."""
        return self.teacher.views_for(self.recipe)

    @property
    def student_path(self) -> pathlib.Path:
        """The student's file."""
        return self.workdir / "student.keras"
