"""Measures the numbers of a student in its integer form: what its integers must reach."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mai_depth.quantize.integer_form import CONVOLUTIONS
from mai_depth.quantize.integer_form import CORE
from mai_depth.quantize.integer_form import FLOAT
from mai_depth.quantize.integer_form import GATE
from mai_depth.quantize.integer_form import consumers
from mai_depth.quantize.integer_form import kind

# hard-swish is 0 below -3: above this size, little of the range below 0 matters.
_HARD_SWISH_FLOOR = 3.0
_SMALLEST_SCALE = 1e-2  # of the largest: a channel that is always 0 has no range of its own
_DEAD = 1e-6
_MOVING = ("UpSampling2D", "TFOpLambda", "Concatenate")  # what makes no new numbers, or few


def measure_scales(form: Any, tf_keras: Any, batches: Any) -> dict[str, np.ndarray]:
    """Measures how large each channel gets.

    Args:
        form: Of `integer_form`, without scales.
        tf_keras: That module.
        batches: Iterable of pictures [batch, *view, 3], RGB 0..255.

    Returns:
        The scales of each convolution's channels by its name; those that are added share one.
    """
    layers = [layer for layer in form.layers if _is_scaled(layer)]
    largest = dict.fromkeys((layer.name for layer in layers), 0.0)
    for results in _results(form, tf_keras, layers, batches):
        for layer, result in zip(layers, results, strict=True):
            gated = layer.name + GATE in (consumer.name for consumer in consumers(layer))
            # The gate multiplies by up to 6, so the product has the range of all other layers.
            size = 6 * np.maximum(result, _HARD_SWISH_FLOOR) if gated else np.abs(result)
            largest[layer.name] = np.maximum(largest[layer.name], size.max(axis=(0, 1, 2)))
    scales = {}
    for group in _added_together(layers):
        size = np.max([largest[name] for name in group], axis=0)
        floor = size.max() * _SMALLEST_SCALE if size.max() > _DEAD else 1.0
        scales |= dict.fromkeys(group, np.maximum(size, floor))
    return scales


def measure_ranges(form: Any, tf_keras: Any, batches: Any) -> dict[str, tuple[float, float]]:
    """Measures what numbers the layers of an integer form give.

    Args:
        form: Of `integer_form`, with its layers unwrapped.
        tf_keras: That module.
        batches: As in `measure_scales`.

    Returns:
        By the name of the layer, the range that its integers shall cover: the smallest and the
        largest number of a batch, averaged over the batches, and 0; one range for all layers that
        LiteRT would otherwise convert into each other's.
    """
    layers = [layer for layer in form.layers if kind(layer) not in FLOAT]
    layers.append(form.get_layer(CORE))
    limits = [
        [(min(result.min(), 0.0), max(result.max(), 0.0)) for result in results]
        for results in _results(form, tf_keras, layers, batches)
    ]
    means = np.mean(limits, axis=0).tolist()
    ranges = {layer.name: (low, high) for layer, (low, high) in zip(layers, means, strict=True)}
    for name, (low, high) in ranges.items():
        if name + GATE in ranges:
            weights = form.get_layer(name + GATE).get_weights()[0]
            low = max(low, -3 / float(weights.min()))
        # A dead layer gives nothing but 0, for which any scale will do.
        ranges[name] = (low, high) if high - low > _DEAD else (0.0, 1.0)
    return ranges | _shared_ranges(form, ranges)


def _results(form: Any, tf_keras: Any, layers: list[Any], batches: Any) -> Any:
    probe = tf_keras.Model(form.get_layer("view").output, [layer.output for layer in layers])
    return (probe.predict_on_batch(images) for images in batches)


def _is_scaled(layer: Any) -> bool:
    """Whether a layer's channels may be divided: not the logits, nor what is a gate."""
    if kind(layer) == "Add":
        return True
    gate = layer.name.endswith(GATE) or (
        kind(layer) == "Conv2D" and layer.activation.__name__ == "relu6")
    return kind(layer) in CONVOLUTIONS and not gate and layer.name != "depth_logits"


def _added_together(layers: list[Any]) -> list[set[str]]:
    """Groups layers whose results are added, with the sums; all others are alone."""
    groups = {layer.name: {layer.name} for layer in layers}
    for layer in layers:
        if kind(layer) == "Add":
            names = {layer.name, *(source.name for source in _sources(layer))}
            group = set().union(*(groups[name] for name in names))
            groups |= dict.fromkeys(group, group)
    return [group for name, group in groups.items() if name == min(group)]


def _shared_ranges(form: Any, ranges: Mapping[str, tuple[float, float]]) -> dict:
    """The ranges of concatenations and of what is concatenated or upsampled for them."""
    shared = {}
    for layer in form.layers:
        if kind(layer) == "Concatenate" and len(set(_sources(layer))) == 2:
            upsampled, skip = _sources(layer)
            moved = [upsampled]
            while kind(moved[-1]) in _MOVING:
                moved.append(_sources(moved[-1])[0])
            lows, highs = zip(ranges[moved[-1].name], ranges[skip.name], strict=True)
            names = [one.name for one in (layer, skip, *moved) if one.name in ranges]
            shared |= dict.fromkeys(names, (min(lows), max(highs)))
    return shared


def _sources(layer: Any) -> list[Any]:
    sources = layer.inbound_nodes[0].inbound_layers
    return sources if isinstance(sources, list) else [sources]
