"""Writes the core of a student so that 8-bit integers serve it well: the same function, equalized.

An int8 tensor has one step for all of its channels. In MobileNetV3 the largest channel of a tensor
is often fifty times the smallest, which then has five of the 256 numbers. But the scale of a
channel is free: what one layer divides by, the next can multiply with, in the weights, at no cost
(cross-layer equalization, Nagel et al. 2019, section 4.1). Here every channel is brought to the
same range, through ReLU, squeeze-excite, residual sums and concatenations, and through hard-swish,
which is written as

    x / s * relu6(s * (x / s) + 3) = 6 / s * hard_swish(x)

with the second factor as a depthwise 1x1 convolution of weight s and bias 3: LiteRT has no
delegated 8-bit HARD_SWISH, and fuses relu6 into a convolution alone.
"""

from typing import Any

import keras
import numpy as np

from mai_depth.network.batch_norm import factor_and_shift
from mai_depth.network.upsampling import is_nearest
from mai_depth.network.upsampling import nearest

_HARD_SWISH = ("hard_silu", "hard_swish")
_MEASURED = (keras.layers.BatchNormalization, keras.layers.Add)
_HARD_SWISH_FLOOR = 3.0  # hard-swish begins to bend at 3: a smaller range is not the whole truth


def measure_ranges(core: keras.Model, grids: np.ndarray) -> dict[str, np.ndarray]:
    """Measures how large each channel gets.

    Args:
        core: From the scaled grid to `depth_logits`.
        grids: Inputs of it [count, height, width, 3].

    Returns:
        For each BatchNorm and each sum: float32 [channels], the largest number that matters to the
        layer after it, which is a positive one for ReLU and hard-swish, and sixfold for the latter.
    """
    outputs: dict[str, Any] = {}
    lowest: dict[str, float] = {}

    def record(layer: Any, *args: Any, **kwargs: Any) -> Any:
        result = layer(*args, **kwargs)
        if isinstance(layer, _MEASURED):
            outputs[layer.name] = result
        if _is_hard_swish(layer) or isinstance(layer, keras.layers.ReLU):
            floor = _HARD_SWISH_FLOOR if _is_hard_swish(layer) else 0.0
            lowest.update({name: floor for name, tensor in outputs.items() if tensor is args[0]})
        return result

    copy = keras.models.clone_model(core, clone_function=_same, call_function=record)
    probe = keras.Model(copy.input, outputs)
    ranges = {
        name: np.full(tensor.shape[-1], lowest.get(name, 0.0), np.float32)
        for name, tensor in outputs.items()
    }
    for grid in grids:
        for name, value in probe.predict_on_batch(grid[None]).items():
            value = value if name in lowest else np.abs(value)
            ranges[name] = np.maximum(ranges[name], value.max(axis=(0, 1, 2)))
    for name in lowest:
        ranges[name] *= 6 if lowest[name] else 1  # see `_hard_swish`, which gives sixfold numbers
    return ranges


def integer_core(
    core: keras.Model, ranges: dict[str, np.ndarray], smallest: float
) -> keras.Model:
    """Rewrites a core.

    Args:
        core: From the scaled grid to `depth_logits`.
        ranges: Of `measure_ranges`.
        smallest: Share of a tensor's largest range that a channel counts with at least. What the
            channels gain by less, the weights lose: theirs become as uneven as the channels were.

    Returns:
        The same function (1e-5 of its range) with weights of its own.
    """
    writer = _Writer(_scales(core, ranges, smallest))
    return keras.models.clone_model(core, clone_function=_same, call_function=writer.call)


class _Writer:
    """Calls layers in order and keeps count of what every tensor has been divided by.

    Attributes:
        scales: What each BatchNorm divides its channels by, [channels] by its name.
        divided: What a tensor was divided by, [channels] by its id; 1 where it is not listed.
    """

    def __init__(self, scales: dict[str, np.ndarray]):
        self.scales = scales
        self.divided: dict[int, np.ndarray] = {}
        self.kept: list[Any] = []  # an id is a tensor's own only while the tensor lives

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Gives `layer(*args)`, divided by a scale that is noted."""
        several = isinstance(args[0], (list, tuple))
        scales = [self._scale(tensor) for tensor in (args[0] if several else args[:1])]
        kind = type(layer).__name__
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            result, scale = _convolution(layer, args[0], scales[0]), 1.0
        elif isinstance(layer, keras.layers.BatchNormalization):
            scale = self.scales.get(layer.name, 1.0)
            result = _batch_norm(layer, args[0], scales[0], scale)
        elif _is_hard_swish(layer):
            result, scale = _hard_swish(args[0], scales[0], layer.name), scales[0] / 6
        elif kind == "Multiply" and not several and np.isscalar(args[1]):
            result, scale = args[0], scales[0] * args[1]  # hard-sigmoid's 1/6 goes to the weights
        elif isinstance(layer, keras.layers.Multiply):
            result, scale = layer(*args, **kwargs), np.prod(np.broadcast_arrays(*scales), axis=0)
        elif is_nearest(layer):
            result, scale = nearest(
                args[0], keras.ops.concatenate, keras.ops.depth_to_space), scales[0]
        elif isinstance(layer, keras.layers.Concatenate):
            scale = np.concatenate([
                np.broadcast_to(one, tensor.shape[-1])
                for one, tensor in zip(scales, args[0], strict=True)
            ])
            result = layer(*args, **kwargs)
        else:
            result, scale = layer(*args, **kwargs), scales[0]
        self.kept.append(result)
        self.divided[id(result)] = scale
        return result

    def _scale(self, tensor: Any) -> Any:
        return self.divided.get(id(tensor), 1.0)


def _scales(
    core: keras.Model, ranges: dict[str, np.ndarray], smallest: float
) -> dict[str, np.ndarray]:
    """What each BatchNorm is divided by; those whose outputs are added share one."""
    group = {name: name for name in ranges}
    sources: dict[int, str] = {}
    kept = []

    def follow(layer: Any, *args: Any, **kwargs: Any) -> Any:
        result = layer(*args, **kwargs)
        kept.append(result)
        if layer.name in ranges:
            sources[id(result)] = layer.name
        if isinstance(layer, keras.layers.Add):
            joined = {group[sources[id(tensor)]] for tensor in args[0]} | {layer.name}
            group.update({name: layer.name for name in group if group[name] in joined})
        return result

    keras.models.clone_model(core, clone_function=_same, call_function=follow)
    scales = {}
    for name in ranges:
        members = [ranges[other] for other in ranges if group[other] == group[name]]
        largest = np.max(members, axis=0)
        scales[name] = np.maximum(largest, max(largest.max() * smallest, 1e-6))
    return scales


def _convolution(layer: Any, x: Any, divided: Any) -> Any:
    """The same convolution for an input that was divided."""
    weights = layer.get_weights()
    divided = np.broadcast_to(divided, weights[0].shape[2])
    weights[0] = weights[0] * divided[:, None]
    return _call_with(layer, weights, x)


def _batch_norm(layer: Any, x: Any, divided: Any, scale: Any) -> Any:
    """The same BatchNorm, divided by `scale`, for an input that was divided."""
    factor, shift = factor_and_shift(layer)
    ones = np.ones_like(factor)
    gamma = factor * divided / scale * np.sqrt(1 + layer.epsilon)
    return _call_with(layer, [gamma, shift / scale, 0 * ones, ones], x)


def _hard_swish(x: Any, divided: Any, name: str) -> Any:
    layers, divided = keras.layers, np.broadcast_to(divided, x.shape[-1])
    plus_3 = layers.DepthwiseConv2D(1, name=f"{name}_plus_3")
    gate = layers.ReLU(6.0, name=f"{name}_relu6")(plus_3(x))
    plus_3.set_weights([divided.reshape(1, 1, -1, 1), np.full(len(divided), 3.0)])
    return layers.Multiply(name=f"{name}_product")([x, gate])


def _call_with(layer: Any, weights: list[np.ndarray], x: Any) -> Any:
    """What a copy of the layer with other weights makes of `x`."""
    copy = type(layer).from_config(layer.get_config())
    result = copy(x)
    copy.set_weights(weights)
    return result


def _is_hard_swish(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Activation) and (
        layer.get_config()["activation"] in _HARD_SWISH
    )


def _same(layer: Any) -> Any:
    return layer
