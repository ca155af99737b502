"""Frames of a video that are worth a label: those that differ from the last one taken."""

from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np
from PIL import Image

MIN_DIFFERENCE = 20.0
"""Of 255 gray levels: a room seen after a turn by a tenth of the picture; sensor noise makes 1."""

_LOOKED_AT = (40, 30)  # width and height: sensor noise and small movements vanish in such pixels


def thinned(
    frames: Iterable[np.ndarray], min_difference: float = MIN_DIFFERENCE
) -> Iterator[tuple[int, np.ndarray]]:
    """Leaves out frames that show what the last one taken has shown.

    Args:
        frames: RGB uint8 [height, width, 3] each.
        min_difference: See `difference`.

    Yields:
        The number of a frame, counted from 0, and the frame; always the first.
    """
    last = None
    for number, frame in enumerate(frames):
        now = _looked_at(frame)
        if last is None or difference(last, now) >= min_difference:
            last = now
            yield number, frame


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two small gray pictures, without that of their brightness.

    Args:
        one: float [height, width].
        other: The same.

    Returns:
        In gray levels.
    """
    change = other - one
    return float(np.abs(change - change.mean()).mean())


def _looked_at(frame: np.ndarray) -> np.ndarray:
    small = Image.fromarray(frame).convert("L").resize(_LOOKED_AT, Image.Resampling.BOX)
    return np.asarray(small, np.float32)
