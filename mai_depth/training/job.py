"""What a training is asked for, from its data to its folder. Needs no TensorFlow."""

import dataclasses
import pathlib
from typing import Any

from mai_depth.data.sources import DataOptions
from mai_depth.data.teacher_views import count_views
from mai_depth.training.run import Recipe
from mai_depth.training.run import RunOptions

_LATER = ("decoder_stride", "fusion", "grid_size", "slim", "train_stride", "prune_from")


@dataclasses.dataclass(frozen=True)
class Student:
    """What `build_student` is asked for, None being the preset's, and two things more.

    Attributes:
        train_stride: How far the decoder goes on in training alone, see `training.finer_levels`.
        prune_from: A wider student that the encoder starts from, see `network.pruning`.
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

    @property
    def record(self) -> dict[str, Any]:
        """As the `.json` of a run tells it; what earlier versions did not know only where it is
        not the default, so that their runs can be continued."""
        default = Student()
        return {name: value for name, value in dataclasses.asdict(self).items()
                if name not in _LATER or value != getattr(default, name)}


@dataclasses.dataclass(frozen=True)
class Teacher:
    """Which teacher a student is distilled from, and how it is asked.

    Attributes:
        paths: `.keras` depth models, of several the mean of log depth; none for the one of these
            data beside the student's folder, which is trained first where it is missing.
        preset: What `build_teacher` makes then.
        weights: Where it starts.
        recipe: How it is trained.
        cache: Whether it answers beforehand, for `views` of each picture, or at every step.
        views: How many views a picture has, where crops make them many.
        mirror: Whether it is asked for the mirror image of each view as well.
    """

    paths: tuple[pathlib.Path, ...] = ()
    preset: str = "vit_ti"
    weights: str | None = None
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    cache: bool = True
    views: int = 8
    mirror: bool = False

    def views_for(self, recipe: Recipe) -> int:
        """Views of each picture that it is asked for beforehand; 0 where it is at every step.

        An epoch shows one view of a picture, so there are no more of them than epochs.
        """
        if recipe.distill == "features" or not self.cache:
            return 0
        return count_views(min(self.views, recipe.epochs), recipe.augmentation)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """All that `train.py` is asked for.

    Attributes:
        workdir: The folder that is filled; a teacher's folder lies beside it.
        data: Which pictures.
        student: What is trained.
        teacher: What teaches it, unless `recipe.distillation_loss_weight` is 0.
        recipe: How the student is trained.
        max_depth_m: The depth that both heads reach.
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
        """Views of each picture that the teacher is asked for; 0 where it is at every step."""
        return self.teacher.views_for(self.recipe)

    @property
    def student_path(self) -> pathlib.Path:
        """The file that the student is written to."""
        return self.workdir / "student.keras"
