"""Frames of a video that are worth a label: those that differ from the last one taken."""

from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np
from PIL import Image

MIN_DIFFERENCE = 20.0
"""Of 255 gray levels: about a turn of the camera by a tenth of the picture; noise makes 1."""

_LOOKED_AT = (40, 30)  # width and height: sensor noise and small movements vanish in such pixels


def thinned(
    frames: Iterable[np.ndarray], min_difference: float = MIN_DIFFERENCE
) -> Iterator[tuple[int, np.ndarray]]:
    """Leaves out frames that hardly differ from the last one taken.

    Args:
        frames: RGB uint8 [height, width, 3] each.
        min_difference: See `difference`.

    Yields:
        The number of a frame, counted from 0, and the frame; the first one always.
    """
    last = None
    for number, frame in enumerate(frames):
        now = _looked_at(frame)
        if last is None or difference(last, now) >= min_difference:
            last = now
            yield number, frame


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two small gray pictures, brightness aside.

    Args:
        one: float [height, width].
        other: The same.

    Returns:
        The difference in gray levels.
    """
    change = other - one
    return float(np.abs(change - change.mean()).mean())


def _looked_at(frame: np.ndarray) -> np.ndarray:
    small = Image.fromarray(frame).convert("L").resize(_LOOKED_AT, Image.Resampling.BOX)
    return np.asarray(small, np.float32)
