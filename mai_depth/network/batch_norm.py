"""A trained BatchNorm as a factor and a shift for each channel."""

from typing import Any

import numpy as np


def factor_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Splits a BatchNorm (Ioffe and Szegedy 2015, algorithm 2).

    Args:
        norm: A layer of any Keras, with scale and centre.

    Returns:
        float32 [channels] each: `norm(x) = factor * x + shift`.
    """
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta - factor * mean
