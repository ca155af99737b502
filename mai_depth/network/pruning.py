"""From a wide trained encoder to a narrow one: its most important channels, refitted.

Which channels matter is measured by what would happen to the network's answer without them, to
first order (Molchanov et al. 2019, "Importance estimation for neural network pruning"; against the
network's own answer, which needs no labels, as Theis et al. 2018 do). What is lost with the others
is made up for layer by layer: each 1x1 convolution is fitted to the features of the wide network by
least squares (He et al. 2017, "Channel pruning for accelerating very deep neural networks").
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mai_depth.errors import UserError
from mai_depth.network.backbone import channel_spaces
from mai_depth.network.backbone import encoder_features
from mai_depth.network.backbone import producers
from mai_depth.network.backbone import slice_weights
from mai_depth.network.student import student_grid

_BATCH_SIZE = 8
_DRAWS = 4  # directions of the answer that a batch is asked about
_DAMPING = 0.01  # of the mean square of the inputs: how far a kernel may go from where it was
_POSITIONS = 256  # of the pixels of a picture that a kernel is fitted to


def prune_encoder(wide: keras.Model, narrow: keras.Model, pictures: np.ndarray) -> None:
    """Starts the encoder of a student from a wider trained one; its decoder is left alone.

    Args:
        wide: A trained student, or a teacher with this encoder, of any grid and decoder.
        narrow: A student with at most as many channels; changed in place.
        pictures: uint8 or float [count, height, width, 3], 0..255, of the camera's size, on which
            the importance is measured and the kernels are fitted; a few dozen.

    Raises:
        UserError: The wide one is narrower somewhere, or another encoder.
    """
    _check_width(wide, narrow)
    kept = slice_weights(wide, narrow, channel_importance(wide, pictures))
    grids = _grids(narrow, pictures)
    teacher = _at_grid(wide, student_grid(narrow))
    spaces = channel_spaces({layer.name: layer for layer in narrow.layers})
    layers = [layer for layer in narrow.layers
              if layer.name in spaces and layer.name.endswith(("_expand", "_project"))]
    targets = _features(teacher, [teacher.get_layer(one.name).output for one in layers], grids)
    for layer, target in zip(layers, targets, strict=True):  # each after those before it
        (given,) = _features(narrow, [layer.input], grids)
        if len(given) > given.shape[1]:  # or the pictures are too few to say anything
            wanted = target[:, kept[spaces[layer.name][1]]]
            _refit(layer, narrow.get_layer(f"{layer.name}_bn"), given, wanted)


def channel_importance(model: keras.Model, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Measures how much the answer of a network depends on each channel of its encoder.

    Of a channel a and a random direction r of `depth_logits` z: the mean over pictures and
    directions of `(sum of a * d(r z) / da over the channel's pixels)^2`.

    Args:
        model: As `wide` of `prune_encoder`.
        pictures: The same.

    Returns:
        [channels] by the name of each space of `backbone.channel_spaces`.
    """
    gates = _gates(model)
    probe = keras.Model(
        model.input, [[tensor for _, tensor in gates], model.get_layer("depth_logits").output])
    random, found = np.random.default_rng(0), {}
    for start in range(0, len(pictures), _BATCH_SIZE):
        batch = tf.cast(pictures[start : start + _BATCH_SIZE], tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            features, logits = probe(batch, training=False)
            answers = [tf.reduce_sum(logits * random.choice((-1.0, 1.0), logits.shape))
                       for _ in range(_DRAWS)]
        for answer in answers:
            changes: dict[str, Any] = {}
            slopes = tape.gradient(answer, features)
            for (space, _), feature, slope in zip(gates, features, slopes, strict=True):
                change = tf.reduce_sum(feature * slope, axis=(1, 2)).numpy()
                changes[space] = changes.get(space, 0.0) + change
            for space, change in changes.items():
                found[space] = found.get(space, 0.0) + np.square(change).sum(axis=0)
    return {space: value / (len(pictures) * _DRAWS) for space, value in found.items()}


def feature_error(
    wide: keras.Model, narrow: keras.Model, pictures: np.ndarray
) -> dict[str, float]:
    """Measures how much of a wide encoder's features a narrow one cannot explain.

    Args:
        wide: As of `prune_encoder`.
        narrow: The same.
        pictures: [count, height, width, 3]; a linear map is fitted on one half and
            judged on the other.

    Returns:
        By level P2 to P5 the share of the variance of the wide one's feature that no linear map of
        the narrow one's explains: 0 is all, 1 as good as the mean.
    """
    grids, teacher = _grids(narrow, pictures), _at_grid(wide, student_grid(narrow))
    levels = ("P2", "P3", "P4", "P5")
    targets = _features(teacher, [encoder_features(teacher)[level] for level in levels], grids)
    inputs = _features(narrow, [encoder_features(narrow)[level] for level in levels], grids)
    return {level: _unexplained(x, y) for level, x, y in zip(levels, inputs, targets, strict=True)}


def _gates(model: keras.Model) -> list[tuple[str, Any]]:
    """Tensors whose zero is the absence of a channel, with the space of their channels."""
    layers = {layer.name: layer for layer in model.layers}
    gates = []
    for name, space in producers(channel_spaces(layers), layers).items():
        # What expands is gated after its depthwise convolution: what that adds goes as well.
        name = name.replace("_expand", "_depthwise") if name.endswith("_expand") else name
        norm = layers.get(f"{name}_bn", layers[name])
        gates.append((space, norm.output))
    return gates


def _check_width(wide: keras.Model, narrow: keras.Model) -> None:
    there = {layer.name: layer for layer in wide.layers}
    for name in channel_spaces({layer.name: layer for layer in narrow.layers}):
        mine = [value.shape for value in narrow.get_layer(name).get_weights()]
        theirs = [value.shape for value in there[name].get_weights()] if name in there else []
        if len(mine) != len(theirs) or not all(map(_fits, mine, theirs)):
            raise UserError(f"--prune_from: its encoder is not a wider one of the same kind (at "
                            f"{name}); give a student of larger --alpha, not --slim")


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether a weight has no more channels than another, of a kernel of the same size."""
    same_window = len(small) < 4 or small[:2] == large[:2]
    return same_window and all(a <= b for a, b in zip(small, large, strict=True))


def _grid_layer(model: keras.Model) -> keras.Layer:
    return next(layer for layer in model.layers if layer.name == "grid" or (
        layer.name == "view" and "grid" not in {other.name for other in model.layers}))


def _grids(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    reduction = keras.Model(model.input, _grid_layer(model).output)
    return np.concatenate([
        reduction(tf.cast(pictures[start : start + _BATCH_SIZE], tf.float32)).numpy()
        for start in range(0, len(pictures), _BATCH_SIZE)])


def _at_grid(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """The encoder of a model for pictures of another size, with the same weights."""
    encoder = keras.Model(_grid_layer(model).output, encoder_features(model))
    copy = keras.models.clone_model(encoder, input_tensors=keras.Input((*size, 3)))
    copy.set_weights(encoder.get_weights())
    return copy


def _features(model: keras.Model, tensors: list[Any], grids: np.ndarray) -> list[np.ndarray]:
    """What a model gives at some pixels of each picture, [pixels, channels] of each tensor."""
    start = model.input if model.input.shape[1:] == grids.shape[1:] else _grid_layer(model).output
    probe = keras.Model(start, dict(enumerate(tensors)))
    rows: list[list[np.ndarray]] = [[] for _ in tensors]
    for first in range(0, len(grids), _BATCH_SIZE):
        results = probe(grids[first : first + _BATCH_SIZE], training=False)
        for number, into in enumerate(rows):
            into.append(_some_pixels(results[number].numpy()))
    return [np.concatenate(parts) for parts in rows]


def _some_pixels(feature: np.ndarray) -> np.ndarray:
    pixels = feature.reshape(len(feature), -1, feature.shape[-1])
    chosen = np.linspace(0, pixels.shape[1] - 1, min(_POSITIONS, pixels.shape[1])).astype(int)
    return pixels[:, chosen].reshape(-1, feature.shape[-1])


def _refit(layer: Any, norm: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Fits a 1x1 convolution to `y`; what is constant of the difference goes into its BatchNorm."""
    kernel, shift = fit_linear(x, y, layer.get_weights()[0][0, 0])
    layer.set_weights([kernel[None, None]])
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta, mean - shift, variance])


def fit_linear(x: np.ndarray, y: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression towards a first guess.

    Args:
        x: [rows, inputs].
        y: [rows, outputs].
        start: [inputs, outputs], to which the kernel is drawn where the rows do not say.

    Returns:
        float32 kernel [inputs, outputs] and shift [outputs]: `x @ kernel + shift` is near `y`.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    square = (x - mean_x).T @ (x - mean_x) / len(x)
    damping = _DAMPING * np.trace(square) / len(square) + 1e-12
    product = (x - mean_x).T @ (y - mean_y) / len(x) + damping * start
    kernel = np.linalg.solve(square + damping * np.eye(len(square)), product)
    return kernel.astype(np.float32), (mean_y - mean_x @ kernel).astype(np.float32)


def _unexplained(x: np.ndarray, y: np.ndarray) -> float:
    half = len(x) // 2
    kernel, shift = fit_linear(x[:half], y[:half], np.zeros((x.shape[1], y.shape[1])))
    rest = y[half:] - x[half:] @ kernel - shift
    return float(np.square(rest).mean() / y[half:].var(axis=0).mean())
