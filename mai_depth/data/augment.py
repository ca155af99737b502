"""Paired augmentation of a batch: crop, flip and resize in one step, then sharpness and colour.

The picture is resized exactly as by `keras.layers.Resizing(interpolation="bilinear")` in the
exported graph: a network trained with another resize is worse with that one. Depth is never
interpolated, since there is no surface halfway between two surfaces.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mai_depth.data.augmentation import Augmentation

# Halfway between two pixels (everywhere, at a scale of exactly 2) the first counts as the nearest,
# flipped or not; without this shift rounding errors would decide.
_TIE_PX = 1e-3

_BLUR = np.array([1, 4, 6, 4, 1]) / 16  # nearly a Gaussian with a sigma of one pixel


class _Draw(NamedTuple):
    """Random numbers in [0, 1) for one batch, [B] each (`color` [B, 3]); turning an augmentation
    off does not change the others."""

    flip: tf.Tensor
    fraction: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    brightness: tf.Tensor
    gamma: tf.Tensor
    color: tf.Tensor
    roll: tf.Tensor
    sharpness: tf.Tensor


class _Crop(NamedTuple):
    """The views of one batch, [B] each: top, left and side as shares of the picture's sides, the
    flip, and the camera's roll in radians."""

    top: tf.Tensor
    left: tf.Tensor
    fraction: tf.Tensor
    flip: tf.Tensor
    roll: tf.Tensor


def augment(
    rgb: tf.Tensor,
    depths: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    augmentation: Augmentation,
    view_size: tuple[int, int],
    depth_size: tuple[int, int],
    crops: tf.Tensor | None = None,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Augments a batch; a sample's result depends only on its own seed.

    Args:
        rgb: uint8 [B, H, W, 3].
        depths: Each [B, H, W, 1], uint16 or float, 0 = missing, of the same pictures.
        seeds: int32 [B, 2], a `tf.random.stateless_*` seed for each sample.
        augmentation: What to vary.
        view_size: Height and width of the picture to make.
        depth_size: Height and width of the depth to make.
        crops: float32 [B, 5], the views to take, see `teacher_views.draw_crops`; None draws them
            by the seeds.

    Returns:
        The picture, float32 [B, *view_size, 3] in 0..255, and each depth, float32
        [B, *depth_size, 1] in its own unit, times the crop's fraction.
    """
    draw = _draw(seeds)
    crop = _drawn(draw, augmentation) if crops is None else _given(crops)
    image = _view(rgb, crop, view_size, augmentation, "bilinear")
    image = _vary_sharpness(image, draw, augmentation)
    image = _vary_color(image, draw, augmentation)
    scale = crop.fraction[:, None, None, None]
    return image, [
        _view(depth, crop, depth_size, augmentation, "nearest") * scale for depth in depths
    ]


def views_of(
    rgb: tf.Tensor, crops: tf.Tensor, augmentation: Augmentation, size: tuple[int, int]
) -> tf.Tensor:
    """Cuts views out of pictures, in their own colours.

    Args:
        rgb: uint8 [B, H, W, 3].
        crops: float32 [B, 5], see `teacher_views.draw_crops`.
        augmentation: What they were drawn by.
        size: Height and width of the views.

    Returns:
        float32 [B, *size, 3] in 0..255.
    """
    return _view(rgb, _given(crops), size, augmentation, "bilinear")


def _drawn(draw: _Draw, augmentation: Augmentation) -> _Crop:
    fraction = 1.0 - draw.fraction * (1.0 - augmentation.min_crop)
    flip = tf.logical_and(draw.flip < 0.5, augmentation.flip)
    roll = (2.0 * draw.roll - 1.0) * math.radians(augmentation.max_roll_deg)
    return _Crop(draw.top * (1.0 - fraction), draw.left * (1.0 - fraction), fraction, flip, roll)


def _given(crops: tf.Tensor) -> _Crop:
    top, left, fraction, flip, roll = tf.unstack(crops, axis=1)
    return _Crop(top, left, fraction, flip > 0.5, roll)


def _draw(seeds: tf.Tensor) -> _Draw:
    rows = [tf.random.stateless_uniform([11], seed) for seed in tf.unstack(seeds)]
    numbers = tf.stack(rows)
    flip, fraction, top, left, brightness, gamma = tf.unstack(numbers[:, :6], axis=1)
    return _Draw(
        flip, fraction, top, left, brightness, gamma, color=numbers[:, 6:9], roll=numbers[:, 9],
        sharpness=numbers[:, 10])


def _view(
    pictures: tf.Tensor, crop: _Crop, size: tuple[int, int], augmentation: Augmentation,
    method: str,
) -> tf.Tensor:
    """Crops, flips and resizes [B, H, W, C] to float32 [B, *size, C] with half-pixel centres."""
    if augmentation.max_roll_deg:
        return _rolled_view(pictures, crop, size, method)
    top, left, fraction, flip, _ = crop
    height, width = pictures.shape[1:3]
    min_crop = augmentation.min_crop
    # When a crop is enlarged, half-pixel centres lie outside the picture. crop_and_resize makes
    # them black; with a repeated edge they are as Resizing makes them.
    enlarged = min(min_crop * height / size[0], min_crop * width / size[1]) < 1.01
    pad = 1 if enlarged else 0
    if pad:
        pictures = tf.pad(pictures, [[0, 0], [pad, pad], [pad, pad], [0, 0]], "SYMMETRIC")
    tie = _TIE_PX if method == "nearest" else 0.0
    rows = _first_and_last(top, fraction, height, size[0], pad, tf.zeros_like(flip), tie)
    columns = _first_and_last(left, fraction, width, size[1], pad, flip, tie)
    boxes = tf.stack([rows[0], columns[0], rows[1], columns[1]], axis=1)
    return tf.image.crop_and_resize(
        pictures, boxes, tf.range(tf.shape(pictures)[0]), size, method=method
    )


def _rolled_view(
    pictures: tf.Tensor, crop: _Crop, size: tuple[int, int], method: str
) -> tf.Tensor:
    """The view of a camera that is rolled about the middle of the crop.

    Rolling does not change depth along the optical axis. Outside the picture lies its mirror
    image, without depth.
    """
    level = tf.zeros_like(crop.flip)
    tie = _TIE_PX if method == "nearest" else 0.0
    ends = []
    for start, source, target, flip in zip(
            (crop.left, crop.top), pictures.shape[2:0:-1], size[::-1], (crop.flip, level),
            strict=True):
        ends.append([(source - 1) * end for end in _first_and_last(
            start, crop.fraction, source, target, 0, flip, tie)])
    (left, right), (top, bottom) = ends
    x, y = (right - left) / 2, (bottom - top) / 2  # from the first output pixel to the middle
    step_x, step_y = 2 * x / (size[1] - 1), 2 * y / (size[0] - 1)
    cos, sin = tf.cos(crop.roll), tf.sin(crop.roll)
    none = tf.zeros_like(cos)
    rows = [cos * step_x, -sin * step_y, left + x - cos * x + sin * y,
            sin * step_x, cos * step_y, top + y - sin * x - cos * y, none, none]
    depth = method == "nearest"
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pictures, tf.float32), transforms=tf.stack(rows, axis=1), output_shape=size,
        interpolation=method.upper(), fill_mode="CONSTANT" if depth else "REFLECT", fill_value=0.0)


def _first_and_last(
    start: tf.Tensor, fraction: tf.Tensor, source: int, target: int, pad: int, flip: tf.Tensor,
    tie: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the first and last output pixel are read, as the op's boxes: pixels / (side - 1).

    Output pixel j of `target` is read at `start + (j + 0.5) * fraction * source / target - 0.5`.
    """
    step = fraction * source / target
    first = start * source + 0.5 * step - 0.5 + pad
    last = first + (target - 1) * step
    side = source + 2 * pad - 1
    first, last = (first - tie) / side, (last - tie) / side
    return tf.where(flip, last, first), tf.where(flip, first, last)


def _vary_sharpness(image: tf.Tensor, draw: _Draw, augmentation: Augmentation) -> tf.Tensor:
    """Moves RGB 0..255 away from its blurred copy, or towards it."""
    if not augmentation.sharpness:
        return image
    amount = (2.0 * draw.sharpness - 1.0) * augmentation.sharpness
    sharper = image + amount[:, None, None, None] * (image - _blurred(image))
    return tf.clip_by_value(sharper, 0.0, 255.0)


def _blurred(image: tf.Tensor) -> tf.Tensor:
    """The binomial filter of 5x5 pixels, with repeated edges."""
    square = np.outer(_BLUR, _BLUR)[:, :, None, None]
    kernel = tf.constant(np.repeat(square, 3, axis=2), tf.float32)
    padded = tf.pad(image, [[0, 0], [2, 2], [2, 2], [0, 0]], "SYMMETRIC")
    return tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")


def _vary_color(image: tf.Tensor, draw: _Draw, augmentation: Augmentation) -> tf.Tensor:
    """Applies gamma, brightness and colour to RGB 0..255."""
    if augmentation.gamma:
        exponent = tf.exp((2.0 * draw.gamma - 1.0) * math.log1p(augmentation.gamma))
        exponent = exponent[:, None, None, None]
        # 255 (image / 255)^exponent; tf.pow itself takes five times as long.
        image = tf.exp(exponent * tf.math.log(image) + (1.0 - exponent) * math.log(255.0))
    if augmentation.brightness or augmentation.color:
        brightness = 1.0 + (2.0 * draw.brightness - 1.0) * augmentation.brightness
        color = 1.0 + (2.0 * draw.color - 1.0) * augmentation.color
        image = image * (brightness[:, None] * color)[:, None, None, :]
    return tf.clip_by_value(image, 0.0, 255.0)
