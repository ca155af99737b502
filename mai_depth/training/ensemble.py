"""Several teachers as one: the mean of their log depth. Needs only NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mai_depth.depth import valid_mask


class Ensemble:
    """Several teachers with the interface of one Keras model.

    Args:
        models: From [batch, 480, 640, 3] to [batch, 480, 640, 1] metres each.
        mirror: Whether to ask each for the mirror image as well.
    """

    def __init__(self, models: Sequence[Any], *, mirror: bool):
        self._models = tuple(models)
        self._mirror = mirror

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Averages the teachers' log depth.

        Args:
            images: [batch, 480, 640, 3] RGB 0..255.

        Returns:
            float32 [batch, 480, 640, 1] in metres, 0 = missing; NaN where any answer is not finite.
        """
        answers = [
            answer for model in self._models for answer in ask(model, images, mirror=self._mirror)]
        finite = np.isfinite(answers).all(axis=0)
        return np.where(finite, mean_of_logs(answers), np.float32(np.nan))


def ask(model: Any, images: np.ndarray, *, mirror: bool) -> list[np.ndarray]:
    """Asks a teacher for the depth of pictures, and of their mirror images.

    Args:
        model: From [batch, height, width, 3] to [batch, height, width, 1].
        images: [batch, height, width, 3].
        mirror: Whether to ask for the mirror images as well.

    Returns:
        Its answer [batch, height, width, 1], and with `mirror` that for the mirror images, mirrored
        back.
    """
    answers = [np.asarray(model.predict_on_batch(images))]
    if mirror:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        answers.append(np.asarray(model.predict_on_batch(mirrored))[:, :, ::-1])
    return answers


def mean_of_logs(depths_m: Sequence[np.ndarray]) -> np.ndarray:
    """Averages depth maps in log depth, the geometric mean.

    Args:
        depths_m: Maps of one shape in metres, 0 = missing.

    Returns:
        float32 of this shape in metres: the mean of the valid values, 0 where there are none.
    """
    valid = np.stack([valid_mask(depth) for depth in depths_m])
    logs = np.log(np.where(valid, np.stack(depths_m), 1.0).astype(np.float64))
    count = valid.sum(axis=0)
    mean = np.exp(logs.sum(axis=0) / np.maximum(count, 1))
    return np.where(count > 0, mean, 0.0).astype(np.float32)
