"""Refusing a `.keras` file whose layers would not fit into memory, before Keras builds them."""

import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

from mai_depth.errors import UserError

_LARGEST = 1 << 24  # of a size in a description; a flattened 4K picture has 2^23 pixels
_LARGEST_TENSOR = 1 << 30  # numbers in one tensor, where the description gives its shape
_SHAPES = frozenset(("batch_shape", "shape", "target_shape", "input_shape", "output_shape"))
_SIZES = _SHAPES | frozenset((
    "filters", "units", "kernel_size", "groups", "depth_multiplier", "input_dim", "output_dim",
    "num_heads", "key_dim", "value_dim", "height", "width", "size", "padding", "cropping",
    "pool_size", "strides", "dilation_rate", "num_tokens", "num_bins", "n", "args", "kwargs"))
_CONVOLUTIONS = tuple(f"Conv{sides}D{kind}" for sides in (1, 2, 3) for kind in ("", "Transpose"))
_NUMBERS_IN_A_BYTE = 2  # Keras' smallest weights have four bits


def check_sizes(config: dict, path: str | os.PathLike) -> None:
    """Checks that a model has no more weights than its file, and no absurdly large tensor.

    Args:
        config: The content of its `config.json`.
        path: The `.keras` file.

    Raises:
        UserError: A size is so large that no machine has the memory for it.
    """
    with zipfile.ZipFile(path) as archive:
        there = _NUMBERS_IN_A_BYTE * sum(member.file_size for member in archive.infolist())
    asked = 0
    for key, value in _items(config):
        if key in _SIZES and isinstance(value, int) and abs(value) > _LARGEST:
            raise UserError(f"{path}: its description has {key}={_short(value)}, too large for a "
                            "depth model; do not trust it")
        if key in _SHAPES and _product(value) > _LARGEST_TENSOR:
            raise UserError(f"{path}: its description has a tensor of {_short(_product(value))} "
                            "numbers, too large for a depth model; do not trust it")
        if isinstance(value, dict):
            asked += _least_weights(value)
    if asked > there:
        raise UserError(f"{path}: its layers ask for {_short(asked)} weights, more than the file "
                        "holds; do not trust it")


def check_tensors(model: Any, path: str | os.PathLike) -> None:
    """Checks the tensors between the layers of a model that is built, before it is run.

    Args:
        model: A Keras model.
        path: Its file.

    Raises:
        UserError: One holds more numbers than any depth model needs.
    """
    for layer in model.layers:
        if hasattr(layer, "layers"):
            check_tensors(layer, path)
        output = getattr(layer, "output", None)
        numbers = _product(list(getattr(output, "shape", ())))
        if numbers > _LARGEST_TENSOR:
            raise UserError(f"{path}: its layer {layer.name} answers with {_short(numbers)} "
                            "numbers, too many for a depth model; do not trust it")


def _items(config: Any) -> Iterator[tuple[str, Any]]:
    """All values of a description with the name of the setting that they belong to."""
    stack = [("", config)]
    while stack:
        key, value = stack.pop()
        yield key, value
        if isinstance(value, dict):
            stack.extend(value.items())
        elif isinstance(value, list):
            stack.extend((key, entry) for entry in value)


def _least_weights(node: dict) -> int:
    """How many weights a layer has at least, by its own settings; 0 if they do not tell."""
    name, settings = node.get("class_name"), node.get("config")
    if not isinstance(settings, dict):
        return 0
    outputs = _number(settings.get("filters", settings.get("units", 0)))
    if name in _CONVOLUTIONS:
        inputs = _inputs(node) // max(1, _number(settings.get("groups")))
        return _product(settings.get("kernel_size")) * max(1, inputs) * outputs
    if name == "Dense":
        return _inputs(node) * outputs
    if name == "Embedding":
        return _number(settings.get("input_dim")) * _number(settings.get("output_dim"))
    return outputs


def _inputs(node: dict) -> int:
    built = node.get("build_config")
    shape = built.get("input_shape") if isinstance(built, dict) else None
    return max(1, _number(shape[-1])) if isinstance(shape, list) and shape else 1


def _product(sides: Any) -> int:
    sides = sides if isinstance(sides, list) else [sides]
    return math.prod(max(1, _number(side)) for side in sides)


def _short(number: int) -> str:
    return f"{float(min(number, 10**300)):.3g}"


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
