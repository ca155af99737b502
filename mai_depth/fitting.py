"""The training loop that student and teacher share: batches in, the best averaged model out."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mai_depth.atomic import write_json_atomic
from mai_depth.augment import Augmentation
from mai_depth.dataset import Pairs
from mai_depth.dataset import training_batches
from mai_depth.distiller import Distiller
from mai_depth.distiller import training_view
from mai_depth.errors import UserError
from mai_depth.evaluation import evaluate
from mai_depth.model_file import save_model


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


def fit_depth_model(
    build: Callable[[], keras.Model],
    train_pairs: Pairs,
    validation_pairs: Pairs,
    *,
    path: pathlib.Path,
    recipe: Recipe,
    max_depth_m: float,
    teacher: keras.Model | None = None,
    teacher_depth: Any = None,
    description: dict[str, Any] | None = None,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
) -> dict[str, float]:
    """Trains a depth model and leaves the best of its epochs in a file.

    Two copies of the model exist: the one that is trained, and the average of its weights (or its
    plain copy when `ema_momentum` is 0), which is validated on full-resolution pictures after each
    epoch and saved when it is the best so far.

    Args:
        build: Makes the model, with its starting weights.
        train_pairs: What is learned.
        validation_pairs: What is measured after each epoch.
        path: The `.keras` file to write; `log.csv` and a `.json` of its own name go beside it.
        recipe: How to train.
        max_depth_m: The depth that the model's head reaches.
        teacher: A depth model to distil from, asked for every augmented picture.
        teacher_depth: Or its answers to `train_pairs`, uint16 [count, 480, 640] in their units.
        description: What else the `.json` shall say, e.g. the builder's arguments.
        callbacks: Further Keras callbacks.

    Returns:
        The metrics of the saved model on `validation_pairs`.

    Raises:
        UserError: The data cannot fill a batch, or the loss is not finite.
    """
    keras.utils.set_random_seed(recipe.seed)
    average = build()
    trained = _trained_copy(average, build, recipe.mixed_precision)
    distiller = Distiller(
        trained,
        teacher,
        max_depth_m=max_depth_m,
        distillation_loss_weight=recipe.distillation_loss_weight,
        distill=recipe.distill,
        gradient_loss_weight=recipe.gradient_loss_weight,
    )
    steps = len(train_pairs) // recipe.batch_size
    distiller.compile(optimizer=_optimizer(recipe, steps))
    described = {**(description or {}), "recipe": dataclasses.asdict(recipe),
                 "max_depth_m": max_depth_m}
    best = _KeepBest(average, validation_pairs, path, described)
    distiller.fit(
        _batches(average, train_pairs, recipe, teacher_depth),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in the order of `epoch_order`
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            _AverageWeights(trained, average, recipe.ema_momentum),
            best,
            keras.callbacks.CSVLogger(path.with_name("log.csv")),
            *callbacks,
        ],
    )
    if best.metrics is None:
        raise UserError(
            f"the loss is not finite after {recipe.epochs} epochs; lower --learning_rate")
    return best.metrics


def _trained_copy(average: keras.Model, build: Callable, mixed_precision: bool) -> keras.Model:
    """The same model with the same weights; the average stays float32, it is what is saved."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if mixed_precision else "float32")
    try:
        trained = build()
    finally:
        keras.config.set_dtype_policy(policy)
    trained.set_weights(average.get_weights())
    return trained


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    schedule = keras.optimizers.schedules.PolynomialDecay(
        recipe.learning_rate,
        max(1, recipe.epochs * steps_per_epoch),
        end_learning_rate=0.0,
        power=recipe.decay_power,
    )
    optimizer = keras.optimizers.Adam(
        schedule, beta_1=0.9, beta_2=0.999, epsilon=recipe.adam_epsilon)
    if recipe.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _batches(
    model: keras.Model, pairs: Pairs, recipe: Recipe, teacher_depth: Any
) -> tf.data.Dataset:
    view = training_view(model)
    # The loss is taken at twice the map's size: the picture that the student's encoder sees.
    depth_size = tuple(2 * side for side in view.output["logits"].shape[1:3])
    return training_batches(
        pairs,
        view_size=view.input.shape[1:3],
        depth_size=depth_size,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first_epoch=0,
        epochs=recipe.epochs,
        augmentation=recipe.augmentation,
        teacher_depth=teacher_depth,
    )


class _AverageWeights(keras.callbacks.Callback):
    """Keeps an exponential moving average of all weights, BatchNorm statistics included."""

    def __init__(self, trained: keras.Model, average: keras.Model, momentum: float):
        super().__init__()
        self.pairs = list(zip(average.weights, trained.weights, strict=True))
        self.momentum = momentum
        self.steps = 0
        self._assign = tf.function(self._move)

    def _move(self, share: tf.Tensor) -> None:
        for average, trained in self.pairs:
            average.assign(average + share * (tf.cast(trained, average.dtype) - average))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.momentum:
            self.steps += 1
            # The first steps count more, or the average would remember the random start.
            momentum = min(self.momentum, (1 + self.steps) / (10 + self.steps))
            self._assign(tf.constant(1 - momentum))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self.momentum:
            self._assign(tf.constant(1.0))


class _KeepBest(keras.callbacks.Callback):
    """Measures the average on full-resolution pictures and saves it when it is the best so far."""

    def __init__(self, average: keras.Model, pairs: Pairs, path: pathlib.Path, description: dict):
        super().__init__()
        self.average = average
        self.pairs = pairs
        self.path = path
        self.description = description
        self.metrics: dict[str, float] | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        metrics = evaluate(self.average, self.pairs)
        logs.update({f"val_{name}": value for name, value in metrics.items() if name != "images"})
        best = self.metrics["si_rmse"] if self.metrics else float("inf")
        if metrics["si_rmse"] < best:
            self.metrics = metrics
            save_model(self.average, self.path)
            record = {**self.description, "metrics": metrics, "epoch": epoch + 1}
            write_json_atomic(self.path.with_suffix(".json"), record)
