"""In-graph resizing out of stock layers: what the student is trained with, and fast exact forms.

The fast forms compute what the plain ones compute, in an order that suits LiteRT: a resize spends
its time per pixel and not per number, so pixels are first moved to the channel axis, which costs
nothing.
"""

from typing import Any

import numpy as np
from keras import layers

METHODS = ("bilinear", "nearest", "fast_bilinear", "fast_nearest")


def resized(
    x: Any,
    size: tuple[int, int],
    *,
    interpolation: str = "bilinear",
    name: str | None = None,
) -> Any:
    """Calls a `Resizing` layer that leaves the rest of the model in the mode it was called in.

    `Resizing.call` of Keras 3 has `training=True` as its default. A Functional model stores that as
    an argument of the call and hands it on to every layer after it, so a plain `model(x)` would
    run each BatchNormalization in training mode (docs/training_mode.md).

    Args:
        x: [batch, height, width, channels].
        size: Height and width of the result.
        interpolation: `bilinear` or `nearest`.
        name: Name of the layer.

    Returns:
        [batch, *size, channels].
    """
    return layers.Resizing(*size, interpolation=interpolation, name=name)(x, training=False)


def shrink(image: Any, size: tuple[int, int], *, antialias: bool) -> Any:
    """Reduces the camera's picture to the one that the network looks at.

    Bilinear interpolation reads four pixels, so a reduction by four skips most of the picture. With
    `antialias` the picture is resized to twice the size and averaged over 2x2 pixels: every pixel
    counts. The layer `view` is where the training pipeline feeds the model.

    Args:
        image: [batch, height, width, 3], any range.
        size: Height and width of the result.
        antialias: Whether to average 2x2 pixels of a picture of twice the size.

    Returns:
        [batch, *size, 3] in the range of `image`: the output of the layer `view`, or with
        `antialias` of the layer `grid`.
    """
    if not antialias:
        return resized(image, size, name="view")
    height, width = size
    view = resized(image, (2 * height, 2 * width), name="view")
    return layers.AveragePooling2D(2, name="grid")(view)


def average_rows(view: Any) -> Any:
    """The rows' half of the average of `shrink(antialias=True)`, in a form that suits LiteRT.

    A row is one pixel of many channels; half of a height by bilinear interpolation is the average
    of two rows.

    Args:
        view: [batch, 2 * height, 2 * width, 3].

    Returns:
        [batch, height, 1, 6 * width].
    """
    twice, columns = view.shape[1:3]
    rows = layers.Reshape((twice, 1, 3 * columns), name="view_rows")(view)
    return resized(rows, (twice // 2, 1), name="grid_rows")


def average_columns(
    rows: Any, *, scale: float, offset: float, convolution: bool = True
) -> Any:
    """The columns' half, and `* scale + offset`.

    Args:
        rows: [batch, height, 1, 6 * width], of `average_rows`.
        scale: Factor.
        offset: Added after the factor.
        convolution: Whether a 1x1 convolution of two columns, as a pixel of six channels, may do
            both, which is the fastest.

    Returns:
        [batch, height, width, 3].
    """
    height, width = rows.shape[1], rows.shape[3] // 6
    if not convolution:
        columns = layers.Reshape((height, 2 * width, 3), name="grid_columns")(rows)
        # The average of two columns again; pooling takes more than twice as long.
        grid = resized(columns, (height, width), name="grid")
        return layers.Rescaling(scale, offset, name="grid_scaled")(grid)
    pairs = layers.Reshape((height, width, 6), name="grid_columns")(rows)
    kernel = np.tile(np.eye(3, dtype=np.float32), (2, 1)) * (scale / 2)
    return layers.Conv2D(
        3,
        1,
        trainable=False,
        kernel_initializer=_constant(kernel),
        bias_initializer=_constant(np.full(3, offset, np.float32)),
        name="grid_scaled",
    )(pairs)


def upsample(
    depth: Any,
    size: tuple[int, int],
    method: str,
    name: str = "depth_m",
    *,
    convolution: bool = True,
) -> Any:
    """Enlarges a one-channel map.

    The methods `fast_bilinear` and `fast_nearest` give what `bilinear` and `nearest` give (the
    differences are rounding, and none), several times faster in LiteRT: one axis after the
    other, with the other axis as channels.

    Args:
        depth: [batch, height, width, 1].
        size: Height and width of the result.
        method: One of `METHODS`.
        name: Name of the last layer.
        convolution: Whether `fast_bilinear` may widen the map by a fixed convolution, which is
            the fastest; without, it transposes the map.

    Returns:
        [batch, *size, 1].

    Raises:
        ValueError: Unknown method, or a width that is not a multiple of the map's where the form
            needs one (`fast_nearest`, and `fast_bilinear` by convolution).
    """
    if method not in METHODS:
        raise ValueError(f"unknown upsample method {method!r}, expected one of {METHODS}")
    if not method.startswith("fast_"):
        return resized(depth, size, interpolation=method, name=name)
    factor, rest = divmod(size[1], depth.shape[2])
    if rest and (convolution or method == "fast_nearest"):
        raise ValueError(f"{method} needs a width that is a multiple of {depth.shape[2]}")
    if method == "fast_nearest":
        wide = _repeat_nearest(depth, factor)
    elif convolution:
        wide = _repeat_bilinear(depth, factor)
    else:
        wide = _widen_transposed(depth, size[1])
    # [batch, height, 1, width]: one pixel of many channels, which is resized row by row.
    rows = layers.Reshape((depth.shape[1], 1, size[1]), name="rows")(wide)
    rows = resized(
        rows, (size[0], 1), interpolation=method.removeprefix("fast_"),
        name="rows_resized")
    return layers.Reshape((*size, 1), name=name)(rows)


def phase_filters(factor: int) -> np.ndarray:
    """Weights that interpolate between neighbours at the centres of `factor` parts of a pixel.

    Part p of a pixel has its centre at (p + 0.5) / factor - 0.5 from the pixel's.

    Args:
        factor: Parts per pixel.

    Returns:
        float32 [3, factor]: weights of the left neighbour, the pixel and the right neighbour.
    """
    offset = (np.arange(factor) + 0.5) / factor - 0.5
    left, right = np.maximum(-offset, 0), np.maximum(offset, 0)
    return np.stack([left, 1 - left - right, right]).astype(np.float32)


def _repeat_bilinear(depth: Any, factor: int) -> Any:
    """[batch, height, width, 1] to [batch, height, width, factor], interpolated along the width."""
    width = depth.shape[2]
    first = layers.Cropping2D(((0, 0), (0, width - 1)), name="first_column")(depth)
    last = layers.Cropping2D(((0, 0), (width - 1, 0)), name="last_column")(depth)
    padded = layers.Concatenate(axis=2, name="edges_repeated")([first, depth, last])
    return layers.Conv2D(
        factor,
        (1, 3),
        use_bias=False,
        trainable=False,
        kernel_initializer=_constant(phase_filters(factor)[None, :, None, :]),
        name="columns",
    )(padded)


def _widen_transposed(depth: Any, width: int) -> Any:
    """[batch, height, w, 1] to [batch, height, width], bilinear, with the rows as channels."""
    height, old = depth.shape[1:3]
    columns = layers.Permute((2, 1), name="columns_first")(
        layers.Reshape((height, old), name="map")(depth)
    )
    columns = layers.Reshape((1, old, height), name="columns")(columns)
    columns = resized(columns, (1, width), name="columns_resized")
    columns = layers.Reshape((width, height), name="columns_map")(columns)
    return layers.Permute((2, 1), name="rows_first")(columns)


def _repeat_nearest(depth: Any, factor: int) -> Any:
    """[batch, height, width, 1] to [batch, height, width, factor]: each number `factor` times.

    In steps of at most four, which is what LiteRT's delegate concatenates.
    """
    for step, prime in enumerate(_small_factors(factor)):
        depth = layers.Concatenate(name=f"repeat_{step}")([depth] * prime)
    return depth


def _small_factors(number: int) -> list[int]:
    factors = []
    for prime in (4, 3, 2):
        while number % prime == 0:
            factors.append(prime)
            number //= prime
    return factors + [number] * (number > 1)


def _constant(value: np.ndarray) -> Any:
    return lambda shape, dtype=None, **_: value.reshape(shape)
