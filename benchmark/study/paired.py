"""Two arms of the learning study compared picture by picture."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from mai_depth.errors import UserError

_RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """What the second arm changes in one metric on one data set.

    Attributes:
        metric: Its name.
        first: Mean of the first arm.
        second: Mean of the second.
        mean: Of the pictures' differences, second - first.
        low: Lower end of its 95 % interval; NaN with less than two blocks.
        high: Upper end.
        images: Pictures that have it in both.
    """

    metric: str
    first: float
    second: float
    mean: float
    low: float
    high: float
    images: int


def compare(
    pictures: Sequence[Accuracy], arms: tuple[str, str], block: int
) -> dict[str, list[Difference]]:
    """Compares two arms on the pictures and folds that both were measured on.

    Models of one arm that were measured on the same picture (seeds, folds) are averaged first, so
    that each picture counts once.

    Args:
        pictures: Lines of single pictures, also of other arms.
        arms: First and second.
        block: As in `block_bootstrap`.

    Returns:
        By data set, one difference for each metric.

    Raises:
        UserError: The arms have no picture in common.
    """
    tables = [_by_picture(pictures, arm) for arm in arms]
    common = sorted(tables[0].keys() & tables[1].keys(), key=lambda key: key[::2])
    if not common:
        known = ", ".join(sorted({line.arm for line in pictures})) or "none"
        raise UserError(f"--compare={','.join(arms)}: they have no picture in common; the arms are "
                        f"{known}")
    result = {}
    for data in dict.fromkeys(key[0] for key in common):
        keys = [key for key in common if key[0] == data]
        names = [key[2] for key in keys]
        first, second = (_mean_by_name(names, [table[key] for key in keys]) for table in tables)
        result[data] = [_difference(name, first[:, index], second[:, index], block)
                        for index, name in enumerate(METRICS)]
    return result


def block_bootstrap(differences: np.ndarray, block: int) -> tuple[float, float]:
    """The 95 % interval of a mean whose values depend on their neighbours.

    Pictures of one scene follow each other and err alike, so whole blocks of neighbours are drawn
    with replacement (the block bootstrap, Kuensch 1989): `len(differences) / block` of them, 10,000
    times. With few blocks, as eight, the interval comes out somewhat too narrow.

    Args:
        differences: [pictures], in the order of their names.
        block: Neighbours in a block.

    Returns:
        Percentiles 2.5 and 97.5 of the means; NaN with less than two blocks.
    """
    starts = np.arange(0, len(differences), block)
    if len(starts) < 2:
        return float("nan"), float("nan")
    sums = np.add.reduceat(differences, starts)
    sizes = np.diff([*starts, len(differences)])
    drawn = np.random.default_rng(0).integers(0, len(starts), (_RESAMPLES, len(starts)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _by_picture(
    pictures: Sequence[Accuracy], arm: str
) -> dict[tuple[str, int, str], np.ndarray]:
    """The metrics of each (data set, fold, picture) of an arm, the mean over its models."""
    found: dict[tuple[str, int, str], list[list[float]]] = {}
    for line in pictures:
        if line.arm == arm and line.picture:
            key = line.data, -1 if line.fold is None else line.fold, line.picture
            found.setdefault(key, []).append([getattr(line, name) for name in METRICS])
    return {key: np.mean(values, axis=0) for key, values in found.items()}


def _mean_by_name(names: Sequence[str], values: Sequence[np.ndarray]) -> np.ndarray:
    """Averages the folds that have measured the same picture: [pictures, metrics]."""
    by_name: dict[str, list[np.ndarray]] = {}
    for name, value in zip(names, values, strict=True):
        by_name.setdefault(name, []).append(value)
    return np.array([np.mean(folds, axis=0) for folds in by_name.values()])


def _difference(metric: str, first: np.ndarray, second: np.ndarray, block: int) -> Difference:
    counted = ~np.isnan(first - second)
    first, second = first[counted], second[counted]
    if not first.size:
        nan = float("nan")
        return Difference(metric, nan, nan, nan, nan, nan, 0)
    low, high = block_bootstrap(second - first, block)
    return Difference(metric, float(first.mean()), float(second.mean()),
                      float((second - first).mean()), low, high, len(first))
