"""Rounds kernels so that what a layer gives stays the same, not each of its weights.

The nearest integers are not the best ones: where the inputs of a convolution are alike, as those of
neighbouring pixels are, the errors of its weights add up, and a filter of edges that answered 0 to
a plain wall no longer does. So the weights are rounded one after the other, and those that are
still to come take over the error, as the inputs on real pictures allow it (GPTQ: Frantar et al.
2023, algorithm 1; the bias comes last and takes what is left).
"""

from typing import Any

import numpy as np

from mai_depth.quantize.integer_form import CONVOLUTIONS
from mai_depth.quantize.integer_form import GATE
from mai_depth.quantize.integer_form import START
from mai_depth.quantize.ranges import LEVELS
from mai_depth.quantize.ranges import kernel_limits
from mai_depth.quantize.ranges import layer_results
from mai_depth.quantize.ranges import sources

_DAMPING = 0.01  # of the mean square of the inputs; the paper's
_TINY = 1e-12  # where the inputs are always 0
_POSITIONS = 2048  # of the pixels of a layer in a batch of pictures


def round_kernels(form: Any, grids: np.ndarray) -> dict[str, np.ndarray]:
    """Rounds the kernels of an integer form in place.

    Args:
        form: Of `integer_form`, with its layers unwrapped.
        grids: Inputs of it [count, height, width, 3].

    Returns:
        What 127 steps of each kernel are, [channels] by the layer's name.
    """
    layers = [layer for layer in form.layers[form.layers.index(form.get_layer(START)) :]
              if type(layer).__name__ in CONVOLUTIONS]
    limits = {layer.name: kernel_limits(*layer.get_weights()) for layer in layers}
    layers = [layer for layer in layers if not layer.name.endswith(GATE)]  # exact as they are
    squares = [0.0] * len(layers)
    random = np.random.default_rng(0)
    for inputs in layer_results(form, [sources(layer)[0] for layer in layers], grids):
        for index, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
            squares[index] += _mean_squares(layer, x, random)
    for layer, square in zip(layers, squares, strict=True):
        kernel, bias = layer.get_weights()
        depthwise = _is_depthwise(layer)
        rows = np.moveaxis(kernel, 2, 0) if depthwise else kernel[None]
        rows = rows.reshape(len(rows), -1, bias.size // len(rows))
        weights = np.concatenate([rows, bias.reshape(len(rows), 1, -1)], axis=1)
        steps = limits[layer.name].reshape(len(rows), -1) / LEVELS
        weights = round_rows(weights, steps, square)
        rows = weights[:, :-1].reshape(kernel.shape[2] if depthwise else 1, *kernel.shape[:2], -1)
        kernel = np.moveaxis(rows, 0, 2) if depthwise else rows.reshape(kernel.shape)
        layer.set_weights([kernel, weights[:, -1].ravel()])
    return limits


def round_rows(weights: np.ndarray, steps: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Rounds the rows of matrices to multiples of a step, all but the last row.

    Args:
        weights: [groups, inputs, outputs].
        steps: [groups, outputs].
        square: [groups, inputs, inputs], the mean of `x x^T` over the inputs x, at any scale.

    Returns:
        float64 [groups, inputs, outputs], at most 127 steps each.
    """
    weights, count = np.array(weights, np.float64), weights.shape[1]
    mean = np.trace(square[:, :-1, :-1], axis1=1, axis2=2)[:, None, None] / (count - 1)
    damped = square + (_DAMPING * mean + _TINY) * np.eye(count)
    # Row i of this factor: how the weights after i make up for an error of weight i.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    for i in range(count - 1):
        rounded = steps * np.clip(np.rint(weights[:, i] / steps), -LEVELS, LEVELS)
        error = (weights[:, i] - rounded) / factor[:, i, i, None]
        weights[:, i] = rounded
        weights[:, i + 1 :] -= factor[:, i, i + 1 :, None] * error[:, None]
    return weights


def _mean_squares(layer: Any, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """`square` of `round_rows` for a convolution's inputs [batch, h, w, c], on some pixels."""
    import tensorflow as tf

    patches = tf.image.extract_patches(
        x, [1, *layer.kernel_size, 1], [1, *layer.strides, 1], [1, 1, 1, 1],
        layer.padding.upper())
    patches = tf.reshape(patches, (-1, patches.shape[-1])).numpy()
    if len(patches) > _POSITIONS:
        patches = patches[random.choice(len(patches), _POSITIONS, replace=False)]
    groups = x.shape[-1] if _is_depthwise(layer) else 1
    rows = patches.reshape(len(patches), -1, groups)
    rows = np.concatenate([rows, np.ones((len(rows), 1, groups), rows.dtype)], axis=1)
    rows = rows.transpose(2, 0, 1).astype(np.float64)
    return rows.transpose(0, 2, 1) @ rows / len(patches)


def _is_depthwise(layer: Any) -> bool:
    return type(layer).__name__ == "DepthwiseConv2D"
