"""A depth model and a run of it that take seconds, for the tests of interrupted training."""

import pathlib

import keras

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import open_split
from mai_depth.training.run import Recipe
from mai_depth.training.run import Run
from mai_depth.training.run import RunOptions


def small_model(filters: int = 4, dropout: float = 0.1) -> keras.Model:
    """Has all that a resume must restore: BatchNorm statistics, a seed generator, odd shapes."""
    layers = keras.layers
    image = layers.Input((480, 640, 3), name="image")
    x = layers.Resizing(48, 64, name="view")(image)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dropout(dropout)(layers.ReLU()(x))
    x = layers.Conv2D(1, 3, padding="same", name="depth_logits")(x)
    x = layers.Rescaling(10.0, name="depth_low")(layers.Activation("sigmoid")(x))
    return keras.Model(image, layers.Resizing(480, 640, name="depth_m")(x))


def small_run(
    data: pathlib.Path,
    folder: pathlib.Path,
    *,
    options: RunOptions = RunOptions(),  # noqa: B008
    filters: int = 4,
    dropout: float = 0.1,
    teacher: keras.Model | None = None,
    **recipe,
) -> Run:
    """A run over `data` (12 training pairs, batches of 4) that writes into `folder`."""
    folder.mkdir(exist_ok=True)
    train, validation = (
        open_split(str(data), split, cache_dir=str(data / "cache"))
        for split in ("train", "validation"))
    settings = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "ema_momentum": 0.9,
                "augmentation": Augmentation(min_crop=0.7), **recipe}
    return Run(
        lambda: small_model(filters, dropout), train, validation, folder / "student.keras",
        Recipe(**settings), 10.0, {"builder": {"filters": filters}}, options, teacher=teacher)
