"""The decoder's upsampling merged into the convolution after it.

A 3x3 convolution that looks at pixels of which four at a time are equal is a 2x2 convolution of the
coarse map, another one for each of the four places in a pixel (the sub-pixel convolution of Shi et
al. 2016, found instead of learned). It multiplies 4 times where the other multiplies 9.
"""

from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from mai_depth.network.batch_norm import factor_and_shift
from mai_depth.network.upsampling import is_nearest
from mai_depth.network.upsampling import nearest


class _Fusion(NamedTuple):
    """The inputs of a Feature Fusion Module, and its convolution once that was met."""

    coarse: Any
    skip: Any = None
    conv: Any = None


def merge_upsampling(core: keras.Model) -> keras.Model:
    """Rewrites the Feature Fusion Modules of a core.

    Args:
        core: Any model; modules of `decoder.feature_fusion` with nearest upsampling are rewritten,
            others get the form of `nearest` alone.

    Returns:
        The same function (rounding apart) with weights of its own where it was rewritten.
    """
    fusions: dict[int, _Fusion] = {}
    kept = []  # an id is a tensor's own only while the tensor lives

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        several = isinstance(args[0], (list, tuple))
        met = fusions.get(id(args[0][0] if several else args[0]))
        if is_nearest(layer):
            result = nearest(args[0], keras.ops.concatenate, keras.ops.depth_to_space)
            met = _Fusion(args[0])
        elif isinstance(layer, keras.layers.BatchNormalization) and met and met.conv:
            result, met = _merged(met, layer), None
        else:
            result = layer(*args, **kwargs)
            if isinstance(layer, keras.layers.Concatenate) and met and len(args[0]) == 2:
                met = met._replace(skip=args[0][1])
            elif _is_plain_3x3(layer) and met and met.skip is not None:
                met = met._replace(conv=layer)
            else:
                met = None
        kept.append(result)
        if met:
            fusions[id(result)] = met
        return result

    return keras.models.clone_model(core, clone_function=lambda layer: layer, call_function=call)


def _is_plain_3x3(layer: Any) -> bool:
    if type(layer) is not keras.layers.Conv2D:
        return False
    config = layer.get_config()
    plain = {"kernel_size": (3, 3), "strides": (1, 1), "dilation_rate": (1, 1), "groups": 1,
             "padding": "same", "activation": "linear", "use_bias": False}
    return config.items() >= plain.items()


def merged_kernel(kernel: np.ndarray) -> np.ndarray:
    """The kernel for the coarse map that does the work of another on the upsampled one.

    The window of coarse pixels k - 1 and k gives the fine pixels 2k - 1 and 2k, which see the
    fine pixels 2k - 2 .. 2k and 2k - 1 .. 2k + 1: the first coarse pixel two times and the second
    once, and the other way round.

    Args:
        kernel: [3, 3, c, filters].

    Returns:
        [2, 2, c, 4 filters], the four places of a fine pixel row by row as the slowest part of the
        last axis, as depth_to_space wants them.
    """
    places = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], kernel.dtype)
    merged = np.einsum("ymr,xns,rscf->mncyxf", places, places, kernel)
    return merged.reshape(2, 2, kernel.shape[2], -1)


def _merged(fusion: _Fusion, norm: Any) -> Any:
    """Convolution and BatchNorm of a module, from its inputs."""
    layers, name = keras.layers, fusion.conv.name
    factor, shift = factor_and_shift(norm)
    kernel = fusion.conv.get_weights()[0] * factor
    channels = fusion.coarse.shape[-1]
    windows = layers.ZeroPadding2D(1, name=f"{name}_edge")(fusion.coarse)
    coarse = _convolution(windows, merged_kernel(kernel[:, :, :channels]), f"{name}_coarse")
    coarse = layers.Cropping2D(1, name=f"{name}_crop")(keras.ops.depth_to_space(coarse, 2))
    skip = _convolution(fusion.skip, kernel[:, :, channels:], f"{name}_skip", shift, "same")
    return layers.Add(name=f"{name}_sum")([coarse, skip])


def _convolution(
    x: Any, kernel: np.ndarray, name: str, bias: np.ndarray | None = None, padding: str = "valid"
) -> Any:
    layer = keras.layers.Conv2D(
        kernel.shape[-1], kernel.shape[:2], padding=padding, use_bias=bias is not None, name=name)
    result = layer(x)
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return result
