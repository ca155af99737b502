"""Corrects the scale of a trained depth model on the pictures that it was trained on."""

import keras
import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.depth import valid_mask
from mai_depth.training.evaluation import predict_pairs

PICTURES = 128
TOLERANCE = 2e-3  # less than a step of the depth files, so that a second call changes nothing

_STEP_PX = 4  # neighbours hardly differ


def centre_scale(model: keras.Model, pairs: Pairs, max_depth_m: float) -> float:
    """Shifts the bias of `depth_logits` so that the mean error of log depth over pictures is 0.

    A random crop shows the scene as if through a longer lens. The network cannot tell how long and
    learns the average, so its depth of a whole picture is a few per cent too near.

    Args:
        model: A depth model; changed in place if its error is larger than `TOLERANCE`.
        pairs: Training pairs; at most `PICTURES` of them are used.
        max_depth_m: The depth at which the model's sigmoid saturates; deeper truth does not count.

    Returns:
        The mean error of ln depth before the correction, negative if depth was too near.
    """
    chosen = pairs.select(np.linspace(0, len(pairs) - 1, min(PICTURES, len(pairs))).astype(int))
    pictures = []
    for index, predicted in enumerate(predict_pairs(model, chosen)):
        truth, predicted = (
            depth[::_STEP_PX, ::_STEP_PX] for depth in (chosen.depth_m(index), predicted))
        valid = valid_mask(truth) & (truth <= max_depth_m)
        if valid.any():
            share = np.clip(predicted[valid] / max_depth_m, 1e-4, 1 - 1e-4)
            pictures.append((np.log(share) - np.log1p(-share), np.log(truth[valid] / max_depth_m)))
    if not pictures:
        return 0.0
    before = _error(pictures, 0.0)
    if abs(before) > TOLERANCE:
        kernel, bias = model.get_layer("depth_logits").get_weights()
        model.get_layer("depth_logits").set_weights([kernel, bias + _shift(pictures)])
    return before


def _error(pictures: list[tuple[np.ndarray, np.ndarray]], shift: float) -> float:
    """Mean over pictures of the mean error of log depth, with all logits shifted by `shift`."""
    return float(np.mean([
        np.mean(-np.log1p(np.exp(-(logits + shift))) - truth) for logits, truth in pictures]))


def _shift(pictures: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Bisects: the error grows with the shift."""
    low, high = -3.0, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if _error(pictures, middle) > 0 else (middle, high)
    return (low + high) / 2
