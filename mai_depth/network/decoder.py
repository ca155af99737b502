"""The light decoder of the paper: Feature Fusion Modules from stride 32 to stride 2."""

from typing import Any

from keras import layers

from mai_depth.errors import UserError
from mai_depth.network.backbone import BATCH_NORM_MOMENTUM


def build_decoder(
    features: dict, filters: tuple[int, ...], upsampling: str
) -> Any:
    """Recovers spatial detail step by step (paper, section 2.1).

    Args:
        features: {"P1": ..., "P5": ...} of `build_backbone`.
        filters: Channels after the fusion with P4, P3, P2 and P1.
        upsampling: As in `feature_fusion`.

    Returns:
        Tensor [batch, height / 2, width / 2, filters[-1]] for a picture of height x width.

    Raises:
        UserError: Not four filters.
    """
    if len(filters) != 4 or min(filters) < 1:
        raise UserError(f"--decoder_filters={','.join(map(str, filters))}: give four channel "
                        "counts")
    x = features["P5"]
    for stride, channels in zip(("P4", "P3", "P2", "P1"), filters, strict=True):
        x = feature_fusion(x, features[stride], channels, stride.lower(), upsampling)
    return x


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
