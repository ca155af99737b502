"""MobileNetV3-Small as a feature pyramid, and its start from ImageNet weights of any width.

The only file that knows the layer names of `keras.applications`.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mai_depth.errors import UserError
from mai_depth.network.batch_norm import factor_and_shift

# Keras sets 0.999, whose average lags for thousands of steps: more than a short schedule has.
BATCH_NORM_MOMENTUM = 0.95

# The features before a stride, by their names in keras.applications; P1 is the activated stem.
_FEATURES = {
    "P2": "expanded_conv_project_bn",
    "P3": "expanded_conv_2_add",
    "P4": "expanded_conv_7_add",
}
_LAST = ("expanded_conv_10_add", "expanded_conv_8_project_bn")  # P5, and that of a slim encoder
_IMAGENET_ALPHAS = (0.75, 1.0)
_BLOCKS = 11


def build_backbone(
    image: Any, *, alpha: float, minimalistic: bool = False, slim: bool = False
) -> dict[str, Any]:
    """Applies MobileNetV3-Small (Howard et al., 2019) without its classifier to a picture.

    Args:
        image: Keras tensor [batch, height, width, 3], RGB 0..255, sides divisible by 32.
        alpha: Width multiplier.
        minimalistic: Without squeeze-excite, hard-swish and 5x5 convolutions.
        slim: One block at stride 32 instead of three, without squeeze-excite: stride 32 holds two
            thirds of the weights.

    Returns:
        {"P1": ..., "P5": ...}: features at strides 2, 4, 8, 16 and 32 of `image`.
    """
    model = keras.applications.MobileNetV3Small(
        input_tensor=image,
        input_shape=tuple(image.shape[1:]),
        alpha=alpha,
        minimalistic=minimalistic,
        include_top=False,
        weights=None,
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    features = encoder_features(model)
    return features | {"P5": _slim_stride_32(model)} if slim else features


def encoder_features(model: keras.Model) -> dict[str, Any]:
    """Finds the features of `build_backbone` in a model around it.

    Args:
        model: A student, or the encoder alone.

    Returns:
        {"P1": ..., "P5": ...}: tensors of the model.
    """
    names = {layer.name for layer in model.layers}
    last = {"P5": next(name for name in _LAST if name in names)}
    features = {"P1": model.get_layer("expanded_conv_depthwise_pad").input}
    return features | {stride: model.get_layer(name).output
                       for stride, name in (_FEATURES | last).items()}


def _slim_stride_32(model: keras.Model) -> Any:
    """The first block at stride 32 without its squeeze-excite, by layers of the same names."""
    projection = model.get_layer("expanded_conv_8_project")
    gate = [layer for layer in model.layers if layer.name == "expanded_conv_8_squeeze_excite_mul"]
    x = gate[0].input[0] if gate else projection.input
    for layer in (projection, model.get_layer("expanded_conv_8_project_bn")):
        x = type(layer).from_config(layer.get_config())(x)
    return x


def load_encoder_weights(
    model: keras.Model, weights: str, *, alpha: float, minimalistic: bool
) -> None:
    """Starts the encoder of a built student from ImageNet weights.

    A checkpoint of another width fills the encoder by slicing, see `slice_weights`.

    Args:
        model: A model around `build_backbone`; its other layers are left alone.
        weights: `imagenet` (downloaded by Keras: alpha 0.75 or 1.0, minimalistic 1.0) or the path
            of a local `.weights.h5` of MobileNetV3Small(alpha=1.0, include_top=False).
        alpha: The width multiplier of `model`.
        minimalistic: As in `build_backbone`.

    Raises:
        UserError: The file is missing or of another network, or the download failed.
    """
    download = weights == "imagenet"
    wide_alpha = alpha if download and not minimalistic and alpha in _IMAGENET_ALPHAS else 1.0
    if alpha > wide_alpha:
        raise UserError(f"--alpha={alpha}: wider than the weights of --encoder_weights (alpha "
                        "1.0); give a smaller one, or --encoder_weights=none")
    if not download and not pathlib.Path(weights).is_file():
        raise UserError(f"{weights}: no such file; --encoder_weights takes imagenet, none or a "
                        "local .weights.h5")
    try:
        wide = keras.applications.MobileNetV3Small(
            input_shape=(224, 224, 3), alpha=wide_alpha, minimalistic=minimalistic,
            include_top=False, weights=weights)
    except Exception as error:  # the loaders of h5py and urllib raise many types
        remedy = ("no download; give --encoder_weights=indoor_student_90m (shipped), PATH of a "
                  "local .weights.h5, or none"
                  if download else "not weights of MobileNetV3Small(alpha=1.0, include_top=False); "
                  "give another file to --encoder_weights")
        raise UserError(f"{weights}: {remedy} ({_first_line(error)})") from error
    slice_weights(wide, model)


def slice_weights(
    wide: keras.Model, narrow: keras.Model, strength: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Fills a narrower MobileNetV3-Small with the strongest channels of a wider one.

    Channels that are added to each other or feed each other form one space; in every space the
    channels with the largest norm of their producing kernels (BatchNorm folded in, summed over all
    producers) are kept, so the same channel is kept in each layer that touches it.

    Args:
        wide: MobileNetV3Small of `keras.applications`.
        narrow: A model that holds its layers by the same names, with at most as many channels.
        strength: [channels] of each space of `channel_spaces`, instead of the norms.

    Returns:
        The channels of the wide one that were kept, by the name of the space.
    """
    sources = {layer.name: layer for layer in wide.layers}
    targets = {layer.name: layer for layer in narrow.layers}
    spaces = channel_spaces(sources)
    strength = strength or _norms(spaces, sources)
    kept = _kept_channels(spaces, strength, targets)
    for name, (inputs, outputs) in spaces.items():
        if name not in targets:
            continue
        sliced = []
        for value in sources[name].get_weights():
            if value.ndim == 4 and inputs is not None:
                value = value[:, :, kept[inputs]]
            # A depthwise kernel is [height, width, channels, 1]: its channels are its inputs.
            if value.ndim == 1 or value.shape[-1] > 1 or outputs != inputs:
                value = value[..., kept[outputs]]
            sliced.append(value)
        targets[name].set_weights(sliced)
    return kept


def channel_spaces(layers: Mapping[str, keras.Layer]) -> dict[str, tuple[str | None, str]]:
    """Maps each layer with weights to the spaces of its input and output channels.

    Args:
        layers: Those of a MobileNetV3-Small by their names.

    Returns:
        By the layer's name (inputs, outputs): a depthwise convolution has one space, a BatchNorm
        None for its inputs.
    """
    spaces = {"conv": (None, "stem"), "conv_bn": (None, "stem")}
    previous = "stem"
    for block in range(_BLOCKS):
        prefix = f"expanded_conv_{block}_" if block else "expanded_conv_"
        inner = f"inner_{block}" if block else "stem"
        output = previous if f"{prefix}add" in layers else f"output_{block}"
        spaces |= {
            f"{prefix}expand": (previous, inner),
            f"{prefix}expand_bn": (None, inner),
            f"{prefix}depthwise": (inner, inner),
            f"{prefix}depthwise_bn": (None, inner),
            f"{prefix}squeeze_excite_conv": (inner, f"squeeze_{block}"),
            f"{prefix}squeeze_excite_conv_1": (f"squeeze_{block}", inner),
            f"{prefix}project": (inner, output),
            f"{prefix}project_bn": (None, output),
        }
        previous = output
    return {name: pair for name, pair in spaces.items() if name in layers}


def producers(spaces: Mapping[str, tuple[str | None, str]], layers: Mapping) -> dict[str, str]:
    """The convolutions that make channels, by their names the space of these.

    A gate of squeeze-excite weighs the channels of its space and makes none; a depthwise
    convolution passes them on.
    """
    return {
        name: outputs for name, (inputs, outputs) in spaces.items()
        if inputs != outputs and not name.endswith("squeeze_excite_conv_1")
        and not isinstance(layers[name], keras.layers.BatchNormalization)}


def _norms(spaces: dict, layers: dict) -> dict[str, np.ndarray]:
    """The strength of each channel by its kernels, summed over all producers of its space."""
    strength: dict[str, np.ndarray] = {}
    for name, space in producers(spaces, layers).items():
        kernel = layers[name].get_weights()[0]
        norm = np.sqrt((kernel**2).sum(axis=(0, 1, 2))) * _batch_norm_scale(layers, name)
        strength[space] = strength.get(space, 0.0) + norm**2
    return strength


def _kept_channels(spaces: dict, strength: Mapping, targets: dict) -> dict[str, np.ndarray]:
    """Chooses the channels of every space: the strongest ones, in their old order."""
    width = {space: targets[name].get_weights()[0].shape[-1]
             for name, (inputs, space) in spaces.items() if name in targets and inputs != space}
    return {
        space: np.sort(np.argsort(-strength[space], kind="stable")[: width.get(space)])
        for space in strength
    }


def _batch_norm_scale(layers: dict, name: str) -> np.ndarray | float:
    batch_norm = layers.get(f"{name}_bn")
    if batch_norm is None:
        return 1.0
    return np.abs(factor_and_shift(batch_norm)[0])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
