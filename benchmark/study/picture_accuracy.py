"""Measures networks picture by picture."""

import dataclasses
import statistics
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from benchmark.accuracy import mean_boundary_f1
from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.data_set import DataSet
from mai_depth.data.samples import read_rgb
from mai_depth.depth import CANONICAL_FOCAL_LENGTH
from mai_depth.depth import read_depth
from mai_depth.depth import valid_mask
from mai_depth.edge_metrics import boundary_f1
from mai_depth.errors import UserError
from mai_depth.metrics import affine_align
from mai_depth.metrics import image_metrics
from mai_depth.metrics import median_scale

_DIGITS = 5


@dataclasses.dataclass(frozen=True)
class Model:
    """What answers with depth.

    Attributes:
        arm: What was tried.
        name: The end of its path.
        sha256: Of its file.
        predict: From uint8 [height, width, 3] to metres [height, width].
    """

    arm: str
    name: str
    sha256: str
    predict: Callable[[np.ndarray], np.ndarray]


def measure(models: Sequence[Model], data: DataSet, fold: int | None) -> Iterator[Accuracy]:
    """Measures models on the pictures of a data set that have valid depth.

    A network answers for the camera it has learned, whose focal length is 0.811 picture widths: of
    another camera, things of one size in the picture are farther away by the ratio of the focal
    lengths.

    Args:
        models: They are given the same pictures.
        data: The pictures.
        fold: Goes into the lines.

    Yields:
        A line for each picture and model.

    Raises:
        UserError: A file cannot be read, or a depth map has not the size of the model's.
    """
    focal_lengths = data.focal_lengths or (None,) * len(data.pairs)
    paired = zip(data.pairs, focal_lengths, strict=True)
    for pair, focal in tqdm(paired, total=len(data.pairs), desc=data.name, leave=False,
                            disable=None):
        truth = read_depth(pair.depth.path, data.units_per_m)
        if not valid_mask(truth).any():
            continue
        rgb = np.asarray(read_rgb(pair.rgb.path))
        for model in models:
            prediction = model.predict(rgb)
            if prediction.shape != truth.shape:
                raise UserError(f"{pair.depth.path}: is {truth.shape[0]}x{truth.shape[1]}, but "
                                f"{model.name} answers {prediction.shape[0]}x"
                                f"{prediction.shape[1]}; convert the folder to that size")
            scaled = prediction * ((focal or CANONICAL_FOCAL_LENGTH) / CANONICAL_FOCAL_LENGTH)
            yield Accuracy(
                arm=model.arm, fold=fold, model=model.name, sha256=model.sha256, data=data.name,
                picture=pair.name, images=1, focal_length=focal,
                **_rounded(picture_metrics(truth, scaled)))


def picture_metrics(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Computes the metrics of the study for one picture.

    Args:
        y_true: [height, width] depth in metres, 0 = missing.
        y_pred: [height, width] depth in metres.

    Returns:
        The values by their names in `METRICS`.
    """
    found = {**image_metrics(y_true, y_pred), "boundary_f1": boundary_f1(y_true, y_pred)}
    for ending, align in (("median_scaled", median_scale), ("affine_aligned", affine_align)):
        aligned = image_metrics(y_true, align(y_true, y_pred))
        found |= {f"{name}_{ending}": value for name, value in aligned.items()}
    return {name: found[name] for name in METRICS}


def mean_accuracy(pictures: Sequence[Accuracy]) -> Accuracy:
    """Averages the lines of one model on one data set.

    Args:
        pictures: At least one.

    Returns:
        The line of the mean.
    """
    focal_lengths = [line.focal_length for line in pictures if line.focal_length is not None]
    values = {name: [getattr(line, name) for line in pictures] for name in METRICS}
    means = {name: statistics.fmean(column) for name, column in values.items()}
    means["boundary_f1"] = mean_boundary_f1(values["boundary_f1"])
    return dataclasses.replace(
        pictures[0], picture="", images=len(pictures),
        focal_length=statistics.median(focal_lengths) if focal_lengths else None,
        **_rounded(means))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in values.items()}
