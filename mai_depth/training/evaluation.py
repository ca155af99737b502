"""The challenge's metrics of a model on camera-sized pictures, and the baseline to beat."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mai_depth.data.pairs import Pairs
from mai_depth.depth import valid_mask
from mai_depth.metrics import image_metrics
from mai_depth.metrics import mean_metrics


def predict_pairs(model: keras.Model, pairs: Pairs, *, batch_size: int = 8) -> Iterator[np.ndarray]:
    """Runs a depth model over a split.

    Args:
        model: From [batch, 480, 640, 3] RGB 0..255 to [batch, 480, 640, 1] metres.
        pairs: The pictures.
        batch_size: Pictures per batch.

    Yields:
        float32 [480, 640] in metres for each pair, in order.
    """
    for start in range(0, len(pairs), batch_size):
        images = padded = np.asarray(pairs.rgb[start : start + batch_size])
        # One batch shape means one compiled graph: the last batch is filled up.
        if missing := batch_size - len(images):
            padded = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        # Bytes go to the device, a quarter of the floats that the model wants.
        depth = model.predict_on_batch(tf.cast(padded, tf.float32))
        yield from depth[: len(images), ..., 0]


def evaluate(model: keras.Model, pairs: Pairs, *, progress: str | None = None) -> dict[str, float]:
    """Measures a model as the challenge does: full resolution, per image, then the mean.

    Args:
        model: As in `predict_pairs`.
        pairs: Pictures with true depth.
        progress: Title of a progress bar, or None for silence.

    Returns:
        The metrics of `mai_depth.metrics.image_metrics`, averaged, and `images`.
    """
    predictions = tqdm(
        predict_pairs(model, pairs), total=len(pairs), desc=progress, disable=progress is None,
        leave=False)
    return mean_metrics(
        [image_metrics(pairs.depth_m(i), depth) for i, depth in enumerate(predictions)])


def geometric_mean_depth(pairs: Pairs) -> float:
    """The depth in metres that minimises the error of log depth, from at most 64 pictures."""
    step = -(-len(pairs) // 64)
    depths = (pairs.depth_m(i)[::4, ::4] for i in range(0, len(pairs), step))
    logs = np.concatenate([np.log(depth[valid_mask(depth)]) for depth in depths])
    return float(np.exp(logs.mean()))


def evaluate_constant(train: Pairs, validation: Pairs) -> dict[str, float]:
    """Measures the answer that ignores the picture: the geometric mean of the training depth.

    Args:
        train: The pairs that give the constant.
        validation: The pairs to measure it on.

    Returns:
        As `evaluate`.
    """
    constant = np.full(validation.depth_m(0).shape, geometric_mean_depth(train), np.float32)
    return mean_metrics(
        [image_metrics(validation.depth_m(i), constant) for i in range(len(validation))])
