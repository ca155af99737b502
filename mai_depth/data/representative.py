"""The representative pictures of an export, on which int8 ranges are measured."""

import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError


def representative(pairs: Pairs, count: int) -> np.ndarray:
    """Takes evenly spread pictures of a split.

    Args:
        pairs: The split.
        count: Number of pictures.

    Returns:
        uint8 [count, 480, 640, 3].

    Raises:
        UserError: The split has fewer.
    """
    if len(pairs) < count:
        raise UserError(f"--num_calibration={count}: the split has {len(pairs)} pictures; lower "
                        "it, or give a larger --calibration_split")
    indices = np.linspace(0, len(pairs) - 1, count).round().astype(int)
    images = [np.asarray(pairs.rgb[int(index)]) for index in indices]
    return np.stack(images) if images else np.zeros((0, *pairs.rgb.shape[1:]), np.uint8)
