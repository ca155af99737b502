"""The answer that looks at no picture: what a network has to beat."""

import pathlib

import numpy as np
from tqdm import tqdm

from mai_depth.data.folder import list_pairs
from mai_depth.depth import read_depth
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError


def mean_depth_map(split_dir: pathlib.Path, units_per_m: float = 1000.0) -> np.ndarray:
    """Averages the depth of a training split, pixel by pixel, over the pictures that have it.

    The geometric mean `exp(mean(ln depth))` minimises the squared error of log depth.

    Args:
        split_dir: Holds `rgb` and `depth`; all depth maps have one size.
        units_per_m: Units of the depth files in a metre.

    Returns:
        float32 [height, width] in metres; a pixel that no picture has is given the geometric mean
        of all others.

    Raises:
        UserError: A file cannot be read or has another size, or no pixel is valid.
    """
    pairs = list_pairs(split_dir)
    logs = counts = np.zeros(read_depth(pairs[0].depth.path).shape)
    for pair in tqdm(pairs, desc="mean depth map", leave=False, disable=None):
        depth = read_depth(pair.depth.path, units_per_m)
        if depth.shape != logs.shape:
            raise UserError(f"{pair.depth.path}: is {depth.shape[0]}x{depth.shape[1]}, others are "
                            f"{logs.shape[0]}x{logs.shape[1]}; give a folder of one size")
        valid = valid_mask(depth)
        logs = logs + np.log(np.where(valid, depth, 1.0))
        counts = counts + valid
    if not counts.any():
        raise UserError(f"{split_dir}: has no valid depth; give another folder")
    means = np.divide(logs, counts, out=np.full(logs.shape, logs.sum() / counts.sum()),
                      where=counts > 0)
    return np.exp(means).astype(np.float32)
