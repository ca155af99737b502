"""The light decoder of the paper: Feature Fusion Modules from stride 32 to stride 2."""

from collections.abc import Mapping
from typing import Any

from keras import layers

from mai_depth.errors import UserError
from mai_depth.network.backbone import BATCH_NORM_MOMENTUM

LEVELS = {16: "P4", 8: "P3", 4: "P2", 2: "P1"}
"""The encoder's feature at each stride that a decoder can go through."""

FUSIONS = ("concat", "add", "add_depthwise")


def build_decoder(
    features: Mapping[str, Any],
    filters: tuple[int, ...],
    upsampling: str,
    *,
    stride: int = 2,
    fusion: str = "concat",
) -> Any:
    """Recovers spatial detail step by step (paper, section 2.1).

    Args:
        features: {"P1": ..., "P5": ...} of `build_backbone`.
        filters: Channels after the fusion with P4 and each finer one down to `stride`.
        upsampling: As in `feature_fusion`.
        stride: Where the decoder stops, a key of `LEVELS`; the paper's goes on to 2.
        fusion: One of `FUSIONS`: concatenate and convolve 3x3 (the paper), `add_fusion`, or that
            with its depthwise convolution.

    Returns:
        Tensor [batch, height / stride, width / stride, filters[-1]] for a picture of height x
        width.

    Raises:
        UserError: An unknown stride or fusion, or not as many filters as levels.
    """
    if stride not in LEVELS:
        raise UserError(f"--decoder_stride={stride}: give 2, 4, 8 or 16")
    if fusion not in FUSIONS:
        raise UserError(f"--fusion={fusion}: unknown; one of {', '.join(FUSIONS)}")
    levels = levels_to(stride)
    if len(filters) != len(levels) or min(filters) < 1:
        raise UserError(f"--decoder_filters={','.join(map(str, filters))}: give {_counts(levels)}")
    x = features["P5"]
    for level, channels in zip(levels, filters, strict=True):
        x = fuse(x, features[level], channels, level.lower(), upsampling, fusion)
    return x


def levels_to(stride: int) -> list[str]:
    """The encoder's features that a decoder down to `stride` goes through, coarse to fine."""
    return [level for at, level in LEVELS.items() if at >= stride]


def fuse(coarse: Any, skip: Any, filters: int, name: str, upsampling: str, fusion: str) -> Any:
    """One level of a decoder: `feature_fusion` or `add_fusion`, as `fusion` of `FUSIONS` says."""
    if fusion == "concat":
        return feature_fusion(coarse, skip, filters, name, upsampling)
    return add_fusion(
        coarse, skip, filters, name, upsampling, depthwise=fusion == "add_depthwise")


def feature_fusion(
    coarse: Any, skip: Any, filters: int, name: str, upsampling: str = "bilinear",
) -> Any:
    """The Feature Fusion Module: upsample, concatenate the encoder's feature, convolve.

    Args:
        coarse: Tensor [batch, h, w, c], the decoder so far.
        skip: Tensor [batch, 2h, 2w, s], the encoder's feature of the neighbouring stride.
        filters: Channels of the result.
        name: Part of the layers' names, e.g. `p4`.
        upsampling: `bilinear`, or `nearest`, which export merges into the convolution
            (`export.merged_upsampling`).

    Returns:
        Tensor [batch, 2h, 2w, filters].
    """
    x = layers.UpSampling2D(2, interpolation=upsampling, name=f"decoder_{name}_upsample")(coarse)
    x = layers.Concatenate(name=f"decoder_{name}_concat")([x, skip])
    x = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"decoder_{name}_conv")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"decoder_{name}_bn")(x)
    return layers.ReLU(name=f"decoder_{name}_relu")(x)


def add_fusion(
    coarse: Any, skip: Any, filters: int, name: str, upsampling: str, *, depthwise: bool
) -> Any:
    """A cheaper fusion: a 1x1 convolution of either feature, and their sum.

    As in feature pyramids (Lin et al. 2017); the coarse one is convolved before it is enlarged,
    which gives the same numbers with a quarter of the work.

    Args:
        coarse: Tensor [batch, h, w, c], the decoder so far.
        skip: Tensor [batch, 2h, 2w, s], the encoder's feature of the neighbouring stride.
        filters: Channels of the result.
        name: Part of the layers' names, e.g. `p4`.
        upsampling: `nearest` or `bilinear`.
        depthwise: Whether a depthwise 5x5 convolution follows, which looks at neighbours.

    Returns:
        Tensor [batch, 2h, 2w, filters].
    """
    prefix = f"decoder_{name}"
    coarse = _normalized(
        layers.Conv2D(filters, 1, use_bias=False, name=f"{prefix}_coarse")(coarse))
    coarse = layers.UpSampling2D(2, interpolation=upsampling, name=f"{prefix}_upsample")(coarse)
    skip = _normalized(layers.Conv2D(filters, 1, use_bias=False, name=f"{prefix}_skip")(skip))
    x = layers.Add(name=f"{prefix}_add")([coarse, skip])
    x = layers.ReLU(name=f"{prefix}_relu")(x)
    if not depthwise:
        return x
    x = layers.DepthwiseConv2D(
        5, padding="same", use_bias=False, name=f"{prefix}_depthwise")(x)
    return layers.ReLU(name=f"{prefix}_depthwise_relu")(_normalized(x))


def _normalized(x: Any) -> Any:
    """A BatchNorm of its own for each convolution, which export folds into it."""
    convolution = x._keras_history.operation
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, name=f"{convolution.name}_bn")(x)


def _counts(levels: list[str]) -> str:
    if len(levels) == len(LEVELS):
        return "four channel counts"
    strides = [str(stride) for stride, level in LEVELS.items() if level in levels]
    return f"as many channel counts as strides ({', '.join(strides)})"
