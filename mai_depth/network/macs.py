"""Multiply-accumulates of a built Keras model, counted from its layers' shapes."""

import math
from typing import Any

# Every weight of these is multiplied once at each position of a map.
_KINDS = frozenset(
    ("Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense")
)
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def count_macs(model: Any) -> int:
    """Counts the multiply-accumulates of one picture: convolutions and dense layers.

    A convolution does `out_height * out_width * kernel.size` of them, a transposed one the same
    with its input's size. Resizes, poolings, activations, normalisations (export folds them),
    biases and products of two activations are left out, as publications do; FLOPs are twice the
    count. A layer that is used several times counts each time. `TfliteFile.macs` is the other
    counter, because this one answers before anything is converted, and a board has no Keras.

    Args:
        model: A Functional model, channels last, of Keras 3 or tf_keras, whose picture size is
            fixed (the batch may be None). Functional models inside it are followed.

    Returns:
        The count for a batch of one.

    Raises:
        ValueError: A map's height or width is unknown.
    """
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    return sum(_node_macs(node) for node in nodes)


def _node_macs(node: Any) -> int:
    layer = node.operation if hasattr(node, "operation") else node.layer  # Keras 3, tf_keras
    if hasattr(layer, "_nodes_by_depth"):
        return count_macs(layer)
    bases = {base.__name__ for base in type(layer).__mro__}
    if not bases & _KINDS:
        return 0
    tensor = _single(node.input_tensors if "Conv2DTranspose" in bases else node.outputs)
    positions = tuple(tensor.shape)[1:-1]
    if None in positions:
        raise ValueError(f"layer {layer.name}: its map has no fixed size: {tuple(tensor.shape)}")
    weights = (getattr(layer, name, None) for name in _KERNELS)
    return math.prod(positions) * sum(math.prod(w.shape) for w in weights if w is not None)


def _single(tensors: Any) -> Any:
    return tensors[0] if isinstance(tensors, (list, tuple)) else tensors
