"""Train fine, deploy coarse: finer levels of the decoder that exist only in training.

A student whose decoder stops early is trained with the decoder's remaining levels on top of it and
a depth map at each (deep supervision, Lee et al. 2015), from whose losses the coarse map learns as
well. The student is saved without them.
"""

from typing import Any

import keras

from mai_depth.errors import UserError
from mai_depth.network.backbone import encoder_features
from mai_depth.network.decoder import LEVELS
from mai_depth.network.decoder import fuse
from mai_depth.network.student import PRESETS
from mai_depth.network.student import student_grid
from mai_depth.training.distiller import view_outputs

_WIDE = "student_90m"


def check_train_stride(decoder_stride: int, train_stride: int | None) -> None:
    """Raises `UserError` unless the training stride is finer than the student's."""
    if train_stride is not None and train_stride >= decoder_stride:
        raise UserError(f"--train_stride={train_stride}: must be finer than --decoder_stride="
                        f"{decoder_stride}; leave it out, or stop the decoder earlier")


def with_finer_levels(student: keras.Model, stride: int, fusion: str) -> keras.Model:
    """Continues a student's decoder, for training only.

    Args:
        student: From `build_student`, named after its preset, which gives the channels at the finer
            strides.
        stride: The stride at which the decoder ends, a key of `decoder.LEVELS`.
        fusion: One of `decoder.FUSIONS`.

    Returns:
        As `distiller.training_view`, sharing the student's layers, with one more output: `finer`,
        a list of {`logits`, `depth`}, [batch, h, w, 1] each, from coarse to fine.
    """
    outputs, features, finer = view_outputs(student), encoder_features(student), []
    x = outputs["features"]
    reached = student_grid(student)[0] // x.shape[1]
    own = PRESETS[student.name].decoder_filters
    # A preset whose decoder stops early has no channels for the levels beyond.
    channels = dict(zip(LEVELS, own + PRESETS[_WIDE].decoder_filters[len(own):], strict=True))
    for at, level in LEVELS.items():
        if stride <= at < reached:
            x = fuse(x, features[level], channels[at], level.lower(), "nearest", fusion)
            finer.append(_map(x, student, at))
    return keras.Model(student.get_layer("view").output, {**outputs, "finer": finer})


def _map(x: Any, student: keras.Model, stride: int) -> dict[str, Any]:
    """A depth map that starts at the same depth as the student's."""
    head = keras.layers.Conv2D(1, 1, name=f"depth_logits_{stride}")
    logits = head(x)
    bias = student.get_layer("depth_logits").get_weights()[1]
    head.set_weights([head.get_weights()[0], bias])
    fraction = keras.layers.Activation("sigmoid", name=f"depth_fraction_{stride}")(logits)
    scale = student.get_layer("depth_low").scale
    return {"logits": logits,
            "depth": keras.layers.Rescaling(scale, name=f"depth_low_{stride}")(fraction)}
