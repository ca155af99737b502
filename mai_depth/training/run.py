"""The settings of a training run, and whether it is already done. Needs no TensorFlow."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.pairs import Pairs
from mai_depth.data.teacher_views import TeacherViews
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.training import checkpoint

if TYPE_CHECKING:
    import keras

    from mai_depth.training.workers import Workers


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are the paper's (section 3.3) where it names them."""

    epochs: int = 500
    batch_size: int = 32
    learning_rate: float = 8e-3
    decay_power: float = 0.9
    adam_epsilon: float = 1e-3
    ema_momentum: float = 0.0
    gradient_loss_weight: float = 0.0
    distillation_loss_weight: float = 0.0
    distill: str = "logits"
    mixed_precision: bool = False
    seed: int = 0
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)

    @property
    def record(self) -> dict[str, Any]:
        """The settings for a run's `.json`.

        `sharpness`, which earlier versions lacked, is left out at 0, so that their runs can be
        continued.
        """
        record = dataclasses.asdict(self)
        if not self.augmentation.sharpness:
            del record["augmentation"]["sharpness"]
        return record


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run behaves; none of this changes what an undisturbed run computes.

    Attributes:
        overwrite: Start again, even if the folder holds this run or another.
        nan_policy: `fail` ends the run at a loss that is not finite; `rollback` goes back to the
            last epoch with half the learning rate, at most three times.
        flags: A flagfile that repeats the run, saved as `flags.txt`; None saves nothing.
        workers: The devices that train together; None for this process's first one.
    """

    overwrite: bool = False
    nan_policy: str = "fail"
    flags: str | None = None
    workers: "Workers | None" = None


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of one model.

    Attributes:
        build: Builds the model with its initial weights.
        train_pairs: The pairs to train on.
        validation_pairs: The pairs to measure after each epoch.
        path: The `.keras` file to write; its `.json`, `log.csv` and the states go beside it.
        recipe: How to train.
        max_depth_m: The depth at which the model's head saturates.
        description: What else determines the result and goes into the `.json`, e.g. the builder's
            arguments.
        options: How the run behaves.
        depth_size: Height and width of the depth that the loss sees; None for twice the map's.
        extend: Adds what is trained with the model but not saved, see `finer_levels`; returns the
            outputs of `distiller.training_view`, or more.
        sources: From `data.origin.data_origins`, only for the `.json`: no effect on the result.
        teacher: A depth model to distil from, asked for every augmented picture.
        teacher_views: Instead of it, views of `train_pairs` with its answers.
        focal_length: Focal length of the training camera in picture widths, only for the `.json`.
    """

    build: "Callable[[], keras.Model]"
    train_pairs: Pairs
    validation_pairs: Pairs
    path: pathlib.Path
    recipe: Recipe
    max_depth_m: float
    description: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: RunOptions = RunOptions()
    depth_size: tuple[int, int] | None = None
    extend: "Callable[[keras.Model], keras.Model] | None" = None
    sources: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    teacher: "keras.Model | None" = None
    teacher_views: TeacherViews | None = None
    focal_length: float | None = None

    @property
    def steps(self) -> int:
        """Steps in an epoch; pictures that do not fill a batch are left out of this epoch."""
        return self.train_pairs.epoch_size // self.recipe.batch_size

    @property
    def map_size(self) -> tuple[int, int] | None:
        """The size at which a map is compared with the teacher's; None for the student's own."""
        return (self.depth_size[0] // 2, self.depth_size[1] // 2) if self.depth_size else None

    @property
    def record(self) -> dict[str, Any]:
        """Everything that determines the result, for the `.json` beside the model."""
        data = {"train_data": self.train_pairs.fingerprint,
                "validation_data": self.validation_pairs.fingerprint}
        return {**self.description, "recipe": self.recipe.record,
                "max_depth_m": self.max_depth_m, "data": data}

    @property
    def identity(self) -> dict[str, Any]:
        """The record, flattened; a run is continued only under the same identity."""
        return checkpoint.identity_of(self.record)


def load_state(run: Run) -> checkpoint.State | None:
    """Reads the newest intact state of a run; `UserError` if it belongs to another run."""
    state = checkpoint.load_state(run.path)
    if state is not None:
        checkpoint.require_same(run.path, state.identity, run.identity)
    return state


def is_complete(path: pathlib.Path) -> bool:
    """Tells whether a model file exists and is no longer in training."""
    return path.is_file() and not checkpoint.state_paths(path)


def finished_metrics(run: Run) -> dict[str, float] | None:
    """Returns the metrics of a finished run.

    Args:
        run: The run; with `options.overwrite` it does not count as finished.

    Returns:
        The metrics, or None if there is something left to do.

    Raises:
        UserError: The model in the folder belongs to another run, or to none that is known.
    """
    path = run.path
    if run.options.overwrite or not is_complete(path):
        return None
    try:
        record = read_json(path.with_suffix(".json"))
        then = checkpoint.identity_of({key: record[key] for key in run.record if key in record})
        finished, metrics = record["finished"], record["metrics"]
    except (OSError, ValueError, KeyError, TypeError):
        finished = False
    if not finished:
        raise UserError(f"{path}: does not belong to a run that can be continued; move it, give "
                        "--overwrite to replace it, or another --workdir")
    checkpoint.require_same(path, then, run.identity)
    return metrics
