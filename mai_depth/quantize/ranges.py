"""Measures the ranges that the integers of a core in its integer form must cover."""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np

from mai_depth.quantize.integer_form import CONVOLUTIONS
from mai_depth.quantize.integer_form import GATE

# hard-swish is 0 below -3: above this size, little of the range below 0 matters.
_HARD_SWISH_FLOOR = 3.0
_SMALLEST_SCALE = 1e-2  # of the largest: a channel that is always 0 has no range of its own
_DEAD = 1e-4  # what no trained layer gives at most: to divide by it would only enlarge noise
# Of a range: the next bias, up to 127 / _BIAS_SHARE steps of its kernel, must fit 32 bits.
_NARROWEST = 0.2
LEVELS = 127
"""Steps of a kernel on either side of 0."""

_BIAS_SHARE = 1e-4
_MIN_KERNEL = 1e-6
_MAX_SCALE_RATIO = 128  # XNNPACK refuses, or crashes on, more than 256
_MOVING = ("UpSampling2D", "TFOpLambda", "Concatenate")  # what makes no new numbers, or few
_BATCH_SIZE = 8


def measure_scales(form: Any, grids: np.ndarray) -> dict[str, np.ndarray]:
    """Measures how large each channel gets.

    Args:
        form: Of `integer_form`, without scales.
        grids: Inputs of it [count, height, width, 3].

    Returns:
        The scales of each convolution's channels by its name; those that are added share one.
    """
    layers = [layer for layer in form.layers if _is_scaled(layer)]
    largest = dict.fromkeys((layer.name for layer in layers), 0.0)
    for results in layer_results(form, layers, grids):
        for layer, result in zip(layers, results, strict=True):
            gated = layer.name + GATE in (consumer.name for consumer in _consumers(layer))
            # The gate multiplies by up to 6, so the product has the range of all other layers.
            size = 6 * np.maximum(result, _HARD_SWISH_FLOOR) if gated else np.abs(result)
            largest[layer.name] = np.maximum(largest[layer.name], size.max(axis=(0, 1, 2)))
    scales = {}
    for group in _added_together(layers):
        size = np.max([largest[name] for name in group], axis=0)
        floor = size.max() * _SMALLEST_SCALE if size.max() > _DEAD else 1.0
        scales |= dict.fromkeys(group, np.maximum(size, floor))
    return scales


def measure_ranges(form: Any, grids: np.ndarray) -> dict[str, tuple[float, float]]:
    """Measures what numbers the layers of an integer form give.

    Args:
        form: Of `integer_form`, with its layers unwrapped.
        grids: As in `measure_scales`.

    Returns:
        By the name of the layer the range that its integers must cover: the smallest and the
        largest number, and 0; one range for all layers that LiteRT would otherwise convert into
        each other's. Ranges without the outermost 0.01 % of the numbers cost more than they give.
    """
    layers = form.layers[1:]
    limits = [
        [(min(result.min(), 0.0), max(result.max(), 0.0)) for result in results]
        for results in layer_results(form, layers, grids)
    ]
    lows, highs = np.min(limits, axis=0)[:, 0], np.max(limits, axis=0)[:, 1]
    ranges = {}
    for layer, low, high in zip(layers, lows.tolist(), highs.tolist(), strict=True):
        gate = [one for one in _consumers(layer) if one.name == layer.name + GATE]
        if gate:  # integers saturate, so that what is less than -3 counts as -3, and gives 0
            low = max(low, -3 / float(gate[0].get_weights()[0].min()))
        # A dead layer gives little but 0, for which any scale will do that the delegate takes.
        ranges[layer.name] = (low, max(high, low + _NARROWEST))
    for change in (_shared_ranges, _wide_ranges, _shared_ranges):
        ranges |= change(form, ranges)
    return ranges


def kernel_limits(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The largest weight of each channel, or more: a bias has 32 bits of the kernel's steps.

    Args:
        kernel: [height, width, inputs, channels], or [height, width, channels, 1].
        bias: [channels].

    Returns:
        float32 [channels].
    """
    largest = np.abs(kernel).reshape(-1, bias.size).max(axis=0)
    return np.maximum(largest, _BIAS_SHARE * np.abs(bias) + _MIN_KERNEL).astype(np.float32)


def layer_results(form: Any, layers: list[Any], grids: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Gives what each of the layers gives, a few pictures at a time.

    Args:
        form: Of `integer_form`.
        layers: Of its layers.
        grids: As in `measure_scales`.

    Yields:
        For each layer [batch, ...].
    """
    import tf_keras

    probe = tf_keras.Model(form.input, [layer.output for layer in layers])
    for start in range(0, len(grids), _BATCH_SIZE):
        results = probe(grids[start : start + _BATCH_SIZE], training=False)
        yield [one.numpy() for one in (results if len(layers) > 1 else [results])]


def _is_scaled(layer: Any) -> bool:
    """Whether a layer's channels may be divided: not the logits, nor what is a gate."""
    if _kind(layer) == "Add":
        return True
    gate = layer.name.endswith(GATE) or (
        _kind(layer) == "Conv2D" and layer.activation.__name__ == "relu6")
    return _kind(layer) in CONVOLUTIONS and not gate and layer.name != "depth_logits"


def _added_together(layers: list[Any]) -> list[set[str]]:
    """Groups layers whose results are added, with the sums; all others are alone."""
    groups = {layer.name: {layer.name} for layer in layers}
    for layer in layers:
        if _kind(layer) == "Add":
            names = {layer.name, *(_maker(source).name for source in sources(layer))}
            group = set().union(*(groups[name] for name in names))
            groups |= dict.fromkeys(group, group)
    return [group for name, group in groups.items() if name == min(group)]


def _shared_ranges(form: Any, ranges: Mapping[str, tuple[float, float]]) -> dict:
    """The ranges of concatenations and of what is concatenated or upsampled for them."""
    shared = {}
    for layer in form.layers:
        if _kind(layer) != "Concatenate":
            continue
        if len(set(sources(layer))) == 1:  # upsampling, which makes no new numbers
            shared[layer.name] = ranges[_maker(layer).name]
        else:
            upsampled, skip = sources(layer)
            moved = [upsampled]
            while _kind(moved[-1]) in _MOVING:
                moved.append(sources(moved[-1])[0])
            lows, highs = zip(ranges[moved[-1].name], ranges[skip.name], strict=True)
            names = [one.name for one in (layer, skip, *moved)]
            shared |= dict.fromkeys(names, (min(lows), max(highs)))
    return shared


def _wide_ranges(form: Any, ranges: Mapping[str, tuple[float, float]]) -> dict:
    """The ranges of convolutions whose steps would be too small beside their inputs' and weights'.

    A squeeze-excite that is nearly dead has such; a wider range is as good for its zeros.
    """
    wide = {}
    for layer in form.layers:
        if _kind(layer) in CONVOLUTIONS and sources(layer)[0].name in ranges:
            (low, high), (start, end) = ranges[sources(layer)[0].name], ranges[layer.name]
            step = float(kernel_limits(*layer.get_weights()).max()) / LEVELS
            wide[layer.name] = start, max(end, start + (high - low) * step / _MAX_SCALE_RATIO)
    return wide


def sources(layer: Any) -> list[Any]:
    """The layers that a layer of tf_keras takes its inputs from."""
    inbound = layer.inbound_nodes[0].inbound_layers
    return inbound if isinstance(inbound, list) else [inbound]


def _maker(layer: Any) -> Any:
    """The layer that has made the numbers which a layer passes on."""
    while _kind(layer) in _MOVING:
        layer = sources(layer)[0]
    return layer


def _consumers(layer: Any) -> list[Any]:
    return [node.layer for node in layer.outbound_nodes]


def _kind(layer: Any) -> str:
    return type(layer).__name__
