"""Accuracy of a depth function over a data folder in the layout of the MAI 2021 challenge."""

import math
import os
import pathlib
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Sequence

import numpy as np

from mai_depth.data import folder
from mai_depth.data.pack.shard import file_of
from mai_depth.data.samples import read_rgb
from mai_depth.depth import clear_missing
from mai_depth.depth import read_depth_units
from mai_depth.edge_metrics import boundary_f1
from mai_depth.errors import UserError
from mai_depth.metrics import NAMES
from mai_depth.metrics import NYU_CROP
from mai_depth.metrics import affine_align
from mai_depth.metrics import image_metrics
from mai_depth.metrics import mean_metrics
from mai_depth.metrics import median_scale
from mai_depth.metrics import pooled_metrics

ALIGNED = ("abs_rel", "delta1")  # what is published of maps that are fitted by scale and shift
POOL = 32  # pictures whose pixels the organisers' training script pools


def list_pairs(data_dir: str | os.PathLike, split: str) -> list[tuple[str, str]]:
    """Lists the pairs of a split by name.

    Args:
        data_dir: Holds `SPLIT/rgb/NAME.{png,jpg}` and `SPLIT/depth/NAME.png`.
        split: For instance `validation`.

    Returns:
        (picture, depth) paths in the order of their names.

    Raises:
        UserError: See `mai_depth.data.folder.list_pairs`.
    """
    pairs = folder.list_pairs(pathlib.Path(data_dir).expanduser() / split)
    return [(str(pair.rgb.path), str(pair.depth.path)) for pair in pairs]


def evaluate(
    predict: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    pairs: Sequence[tuple[str, str]],
    depth_units_per_m: float = 1000.0,
    missing_depth_value: int | None = None,
    nyu_crop: bool = False,
    pooled: bool = False,
) -> Generator[int, None, dict[str, float]]:
    """Measures a depth function at the full resolution of the truth.

    Args:
        predict: From uint8 [height, width, 3] and the truth's (height, width) to metres.
        pairs: As `list_pairs` returns them.
        depth_units_per_m: Units of the depth files; 1000 for millimetres.
        missing_depth_value: One more of their codes that means missing, beside 0 and 65535.
        nyu_crop: Only Eigen's crop of a 480x640 picture counts.
        pooled: The pixels of 32 pictures are pooled, as the organisers' script does, instead of
            one value per picture.

    Yields:
        The number of pictures done.

    Returns:
        The mean metrics and `images`; the same with every prediction scaled to the truth's median,
        each name with `_median_scaled` at its end; `abs_rel` and `delta1` of predictions fitted by
        scale and shift, with `_affine_aligned`; `boundary_f1`, the mean over the pictures whose
        truth has an edge; `cleared_pixels` of `cleared_maps`, whose code was taken for missing.
    """
    measure = _Pools if pooled else _Images
    plain, scaled, aligned = measure(), measure(), measure()
    edges, cleared = [], []
    for done, (rgb_path, depth_path) in enumerate(pairs, start=1):
        units = read_depth_units(file_of(depth_path))
        cleared.append(clear_missing(units, missing_depth_value))
        truth = units.astype(np.float32) / np.float32(depth_units_per_m)
        prediction = predict(np.asarray(read_rgb(file_of(rgb_path))), truth.shape)
        if nyu_crop:
            truth, prediction = _crop(truth, depth_path), prediction[NYU_CROP]
        plain.add(truth, prediction)
        scaled.add(truth, median_scale(truth, prediction))
        aligned.add(truth, affine_align(truth, prediction))
        edges.append(boundary_f1(truth, prediction))
        yield done
    result = plain.mean()
    for name, value in scaled.mean().items():
        if name in NAMES:
            result[f"{name}_median_scaled"] = value
    fitted = aligned.mean()
    for name in ALIGNED:
        result[f"{name}_affine_aligned"] = fitted[name]
    result["boundary_f1"] = mean_boundary_f1(edges)
    return {**result, "cleared_pixels": sum(cleared), "cleared_maps": sum(map(bool, cleared))}


def mean_boundary_f1(values: Sequence[float]) -> float:
    """Averages `boundary_f1` over pictures.

    Args:
        values: Of each picture; NaN, where the truth has no edge, does not count.

    Returns:
        The mean, NaN of none.
    """
    counted = [value for value in values if not math.isnan(value)]
    return sum(counted) / len(counted) if counted else math.nan


class _Images:
    """The mean over pictures."""

    def __init__(self) -> None:
        self._metrics: list[dict[str, float]] = []

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self._metrics.append(image_metrics(truth, prediction))

    def mean(self) -> dict[str, float]:
        return mean_metrics(self._metrics)


class _Pools:
    """The mean over groups of `POOL` pictures whose pixels are taken together."""

    def __init__(self) -> None:
        self._pool: list[tuple[np.ndarray, np.ndarray]] = []
        self._metrics: list[dict[str, float]] = []
        self._count: float = 0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self._pool.append((truth, prediction))
        if len(self._pool) == POOL:
            self._close_pool()

    def mean(self) -> dict[str, float]:
        if self._pool:
            self._close_pool()
        return {**mean_metrics(self._metrics), "images": self._count}

    def _close_pool(self) -> None:
        metrics = pooled_metrics(self._pool)
        self._count += metrics["images"]
        self._metrics.append(metrics)
        self._pool = []


def _crop(truth: np.ndarray, path: str) -> np.ndarray:
    if truth.shape != (480, 640):
        raise UserError(f"{path}: is {truth.shape[0]}x{truth.shape[1]}, but --nyu_crop is for "
                        "480x640; leave the flag out")
    return truth[NYU_CROP]
