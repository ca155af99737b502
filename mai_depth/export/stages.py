"""Rebuilds a student for export: other resizes around the same core, and the same weights."""

import dataclasses
import os
from typing import Any

import keras

from mai_depth.errors import UserError
from mai_depth.export.merged_upsampling import merge_upsampling
from mai_depth.network.resize import average_columns
from mai_depth.network.resize import average_rows
from mai_depth.network.resize import resized
from mai_depth.network.resize import shrink
from mai_depth.network.resize import upsample

_NEEDED = ("view", "depth_logits", "depth_low")


@dataclasses.dataclass(frozen=True)
class StudentParts:
    """A student taken apart.

    Attributes:
        image_size: Height and width of the camera's picture.
        grid_size: Height and width of what the encoder sees.
        antialias: Whether the grid averages a picture of twice its size.
        scale: The picture's factor before the core, and
        offset: what is added to it.
        grid: The scaled grid [batch, *grid_size, 3] in the model.
        core: From it to `depth_logits` [batch, h, w, 1].
        max_depth_m: Depth at which the sigmoid saturates.
    """

    image_size: tuple[int, int]
    grid_size: tuple[int, int]
    antialias: bool
    scale: float
    offset: float
    grid: Any
    core: keras.Model
    max_depth_m: float


def take_apart(model: keras.Model, path: str | os.PathLike) -> StudentParts:
    """Finds the parts of a student by the names that `student.build_student` gives its layers.

    Args:
        model: A student.
        path: Its file, for the message.

    Returns:
        Its parts; the core shares the model's weights.

    Raises:
        UserError: Another kind of depth model.
    """
    layers = {layer.name: layer for layer in model.layers}
    missing = [name for name in _NEEDED if name not in layers]
    if missing:
        raise UserError(
            f"{path}: not a student: the layer {missing[0]!r} is missing; export takes the "
            "student.keras of train.py"
        )
    start = layers["view"]
    antialias = isinstance(_only_consumer(start), keras.layers.AveragePooling2D)
    if antialias:
        start = _only_consumer(start)
    scale, offset, grid = 1.0, 0.0, start
    if isinstance(_only_consumer(start), keras.layers.Rescaling):
        grid = _only_consumer(start)
        scale, offset = float(grid.scale), float(grid.offset)
    return StudentParts(
        image_size=tuple(model.inputs[0].shape[1:3]),
        grid_size=tuple(start.output.shape[1:3]),
        antialias=antialias,
        scale=scale,
        offset=offset,
        grid=grid.output,
        core=keras.Model(grid.output, layers["depth_logits"].output, name="core"),
        max_depth_m=float(layers["depth_low"].scale),
    )


def _only_consumer(layer: keras.Layer) -> keras.Layer | None:
    nodes = layer._outbound_nodes  # Keras gives a layer's consumers nowhere else
    return nodes[0].operation if len(nodes) == 1 else None


def rebuild(
    parts: StudentParts, method: str, *, batch_size: int | None = 1
) -> keras.Model:
    """The whole network with another form of its resizes.

    Args:
        parts: Of `take_apart`.
        method: One of `resize.METHODS`.
        batch_size: Pictures at a time; None for any number.

    Returns:
        From `image` [batch_size, height, width, 3] to metres [batch_size, height, width, 1].
    """
    image = keras.Input((*parts.image_size, 3), batch_size=batch_size, name="image")
    grid = _scaled_grid(image, parts, convolution=True)
    core = merge_upsampling(parts.core)
    return keras.Model(image, _metres(core(grid), parts, method, convolution=True))


def with_core(model: keras.Model, parts: StudentParts, core: keras.Layer) -> keras.Model:
    """A student with another core, to be trained: its parts keep their names.

    Args:
        model: The student.
        parts: Of `take_apart`.
        core: A layer called `depth_logits` from the scaled grid to these.

    Returns:
        From `image` [batch, height, width, 3] to metres [batch, height, width, 1].
    """
    depth = _metres(core(parts.grid), parts, "bilinear", convolution=False)
    return keras.Model(model.input, depth)


def input_stage(parts: StudentParts) -> keras.Model:
    """The part of the network before 8-bit integers: it reduces and scales the picture, in float.

    Args:
        parts: Of `take_apart`.

    Returns:
        From `image` [1, height, width, 3] to the core's input; no convolution.
    """
    image = keras.Input((*parts.image_size, 3), batch_size=1, name="image")
    return keras.Model(image, _scaled_grid(image, parts, convolution=False))


def output_stage(parts: StudentParts, method: str) -> keras.Model:
    """The part of the network after 8-bit integers: it stays float.

    8 bits of metres would be steps of 4 to 16 cm; 8 bits of `depth_logits` are about 3 % of the
    depth, near and far.

    Args:
        parts: Of `take_apart`.
        method: One of `resize.METHODS`.

    Returns:
        From `depth_logits` [1, h, w, 1] to metres [1, height, width, 1]; no convolution.
    """
    logits = keras.Input(parts.core.output.shape[1:], batch_size=1, name="logits")
    return keras.Model(logits, _metres(logits, parts, method, convolution=False))


def _scaled_grid(image: Any, parts: StudentParts, convolution: bool) -> Any:
    height, width = parts.grid_size
    scaling = {"scale": parts.scale, "offset": parts.offset}
    if not parts.antialias:
        grid = shrink(image, (height, width), antialias=False)
        return keras.layers.Rescaling(**scaling)(grid)
    view = resized(image, (2 * height, 2 * width))
    rows = average_rows(view)
    return average_columns(rows, **scaling, convolution=convolution)


def _metres(logits: Any, parts: StudentParts, method: str, convolution: bool) -> Any:
    fraction = keras.layers.Activation("sigmoid", name="depth_fraction")(logits)
    depth = keras.layers.Rescaling(parts.max_depth_m, name="depth_low")(fraction)
    # The convolution repeats columns, so the picture must be a whole number of times as wide.
    whole = parts.image_size[1] % depth.shape[2] == 0
    return upsample(depth, parts.image_size, method, convolution=convolution and whole)
