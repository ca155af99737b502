"""A data set as the command line of the learning study names it: `[NAME=]DIR/SPLIT[@FOCAL]`."""

import dataclasses
import re

from mai_depth.data.description import read_description
from mai_depth.data.folder import PairFiles
from mai_depth.data.folder import list_pairs
from mai_depth.errors import UserError
from mai_depth.paths import expand

_FORM = re.compile(r"(?:(?P<name>[^/=]+)=)?(?P<folder>.+?)(?:@(?P<focal>[0-9.]+))?")
_FOCAL_LENGTHS = (0.1, 100.0)  # picture widths that a camera can have


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Pairs to measure on.

    Attributes:
        name: Of the set.
        pairs: Its files, sorted by name.
        units_per_m: Units of its depth files in a metre.
        focal_lengths: Of each pair in picture widths; None where they are unknown.
    """

    name: str
    pairs: tuple[PairFiles, ...]
    units_per_m: float
    focal_lengths: tuple[float, ...] | None


def open_data_set(text: str) -> DataSet:
    """Lists the pairs of a data set.

    Args:
        text: `DIR/SPLIT`; `NAME=` before it gives another name than the last two parts of the path,
            and `@FOCAL` after it the focal length in picture widths, instead of what
            `DIR/dataset.json` says.

    Returns:
        The data set.

    Raises:
        UserError: There is no such folder, it holds no pairs, or the focal length is impossible.
    """
    parts = _FORM.fullmatch(text)
    if not parts:
        raise UserError(f"--data={text}: give [NAME=]DIR/SPLIT[@FOCAL_LENGTH]")
    folder = expand(parts["folder"], "data").absolute()
    pairs = tuple(list_pairs(folder))
    description = read_description(folder.parent)
    if parts["focal"]:
        focal_lengths: list[float] | None = [_focal_length(text, parts["focal"])] * len(pairs)
    else:
        focal_lengths = description.of(folder.name, [pair.name for pair in pairs])
    return DataSet(parts["name"] or "/".join(folder.parts[-2:]), pairs,
                   description.units_per_m or 1000.0,
                   tuple(focal_lengths) if focal_lengths else None)


def _focal_length(text: str, focal: str) -> float:
    low, high = _FOCAL_LENGTHS
    try:
        value = float(focal)
    except ValueError:
        value = 0.0
    if not low < value < high:
        raise UserError(f"--data={text}: {focal} is not a focal length in picture widths; give one "
                        "such as 0.811")
    return value
