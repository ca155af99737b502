"""What a training is asked for, from its data to its folder. Needs no TensorFlow."""

import dataclasses
import pathlib

from mai_depth.data.sources import DataOptions
from mai_depth.training.run import Recipe
from mai_depth.training.run import RunOptions


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
    """Which teacher a student is distilled from.

    Attributes:
        path: A `.keras` depth model; None for the one of these data beside the student's folder,
            which is trained first where it is missing.
        preset: What `build_teacher` makes then.
        weights: Where it starts.
        recipe: How it is trained.
        cache: Whether it answers once for each picture, or at every step for the augmented one.
    """

    path: pathlib.Path | None = None
    preset: str = "vit_ti"
    weights: str | None = None
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    cache: bool = True


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
        deterministic: Whether the same job gives the same bits each time.
    """

    workdir: pathlib.Path
    data: DataOptions
    student: Student = dataclasses.field(default_factory=Student)
    teacher: Teacher = dataclasses.field(default_factory=Teacher)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    max_depth_m: float = 40.0
    options: RunOptions = dataclasses.field(default_factory=RunOptions)
    deterministic: bool = False

    @property
    def distils(self) -> bool:
        """Whether the student has a teacher."""
        return self.recipe.distillation_loss_weight > 0

    @property
    def student_path(self) -> pathlib.Path:
        """The file that the student is written to."""
        return self.workdir / "student.keras"
