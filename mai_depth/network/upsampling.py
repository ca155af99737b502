"""Nearest-neighbour upsampling in a form that LiteRT delegates: it moves numbers, integers too."""

from collections.abc import Callable
from typing import Any


def nearest(x: Any, concatenate: Callable, depth_to_space: Callable) -> Any:
    """Doubles height and width, every number four times.

    Args:
        x: [batch, h, w, c].
        concatenate: `keras.ops.concatenate` or `tf.concat`.
        depth_to_space: `keras.ops.depth_to_space` or `tf.nn.depth_to_space`.

    Returns:
        [batch, 2h, 2w, c].
    """
    return depth_to_space(concatenate([x] * 4, -1), 2)


def is_nearest(layer: Any) -> bool:
    """Whether a layer, of any Keras, is what `nearest` does."""
    if type(layer).__name__ != "UpSampling2D":
        return False
    config = layer.get_config()
    return config["interpolation"] == "nearest" and tuple(config["size"]) == (2, 2)
