"""Finds and fixes calls in a saved model that would run it in training mode.

The image layers of Keras 3 (`Resizing`, `CenterCrop`, ...) have `training=True` as the default of
their `call`. A Functional model stores the default as an argument of the call, and from there it
reaches every layer behind it: `model(x)` runs BatchNormalization in training mode, answers wrong
numbers and moves the statistics, while `predict` and `fit`, which set the mode themselves, are
right (docs/training_mode.md; keras#23166, keras-hub#2776).
"""

import inspect
from collections.abc import Iterator
from typing import Any

import keras


def leave_training_mode(config: Any) -> list[str]:
    """Sets the stored mode of such calls to inference; `fit` trains the model as before.

    A mode that was set explicitly stays: `training=True` of a Dropout or a BatchNormalization.

    Args:
        config: The content of a `config.json`, or a part of it; changed in place.

    Returns:
        The names of the layers whose calls were changed.
    """
    changed = []
    for layer in _layers(config):
        for node in layer["inbound_nodes"]:
            kwargs = node.get("kwargs") if isinstance(node, dict) else None
            if isinstance(kwargs, dict) and kwargs.get("training") is True:
                if not _trains_by_default(layer):
                    continue
                kwargs["training"] = False
                changed.append(str(layer.get("name")))
    return changed


def _layers(config: Any) -> Iterator[dict]:
    """Every layer of a Functional model, those of models inside it as well."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("inbound_nodes"), list):
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _trains_by_default(layer: dict) -> bool:
    kind = getattr(keras.layers, str(layer.get("class_name")), None)
    mode = inspect.signature(kind.call).parameters.get("training") if kind else None
    return mode is not None and mode.default is True
