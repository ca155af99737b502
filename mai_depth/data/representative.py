"""Pictures for an export: what int8 ranges are measured on, and what the result is verified on."""

import pathlib

import numpy as np

from mai_depth.data.batches import open_split
from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError


def open_pictures(
    data_dir: str | None,
    split: str,
    *,
    cache_dir: str,
    depth_units_per_m: float = 1000.0,
    missing_depth_value: int | None = None,
    allow_resize: bool = False,
) -> Pairs:
    """Opens a split of the user's data, or of the default scenes.

    Args:
        data_dir: Folder in MAI layout; None for the default scenes, made on the first call.
        split: `train`, `validation`, or another folder there.
        cache_dir: Where decoded pictures and scenes are kept.
        depth_units_per_m: Depth file units in a metre.
        missing_depth_value: One more code that means missing, beside 0 and 65535.
        allow_resize: Accept depth of another size than its picture, of the same aspect.

    Returns:
        The pairs.

    Raises:
        UserError: What is wrong with the folder or a file in it.
    """
    if data_dir is None:
        from mai_depth.data.synthetic import write_synthetic

        data_dir = str(write_synthetic(pathlib.Path(cache_dir) / "synthetic"))
    return open_split(data_dir, split, cache_dir=cache_dir, depth_units_per_m=depth_units_per_m,
                      missing_depth_value=missing_depth_value, allow_resize=allow_resize)


def representative(pairs: Pairs, count: int) -> np.ndarray:
    """Takes pictures evenly from a split.

    Args:
        pairs: The split.
        count: How many.

    Returns:
        uint8 [count, 480, 640, 3].

    Raises:
        UserError: The split has fewer.
    """
    if len(pairs) < count:
        raise UserError(f"--num_calibration={count}: the split has {len(pairs)} pictures; give a "
                        "larger --calibration_split or fewer")
    indices = np.linspace(0, len(pairs) - 1, count).round().astype(int)
    images = [np.asarray(pairs.rgb[int(index)]) for index in indices]
    return np.stack(images) if images else np.zeros((0, *pairs.rgb.shape[1:]), np.uint8)
