"""The description of a folder's depth: `dataset.json` (convert, rooms) or `labels.json` (label).

A folder without either is taken for measured depth of an unknown focal length. Both files may hold
`license` and `origin`, which `origin.py` passes on.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from mai_depth.data.pack.manifest import read_manifest
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

DATASET = "dataset.json"
LABELS = "labels.json"

_UNITS_PER_M = 1000.0  # what all our own commands write


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known of the depth in a folder.

    Attributes:
        is_measured: Whether a sensor or a renderer made the depth; else teachers predicted it.
        units_per_m: Units of the depth files per metre; None if unknown.
        focal_length: In picture widths; None if it is unknown or differs between pictures.
        focal_lengths: Those of single pictures, by `SPLIT/NAME`.
    """

    is_measured: bool = True
    units_per_m: float | None = None
    focal_length: float | None = None
    focal_lengths: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def of(self, split: str, names: Sequence[str]) -> list[float] | None:
        """Returns the focal length of each picture of a split, or None if any is unknown.

        Args:
            split: E.g. `train`.
            names: The pictures' names.

        Returns:
            In picture widths, in the order of `names`.
        """
        found = [self.focal_lengths.get(f"{split}/{name}", self.focal_length) for name in names]
        known = [focal for focal in found if focal]
        return known if len(known) == len(found) else None


def read_description(data_dir: str | pathlib.Path) -> Description:
    """Reads the description of a data folder.

    Args:
        data_dir: The folder that holds the splits.

    Raises:
        UserError: The file is damaged.
    """
    folder = pathlib.Path(data_dir)
    manifest = read_manifest(folder)
    if manifest:
        packed_units = next(iter(manifest.splits.values())).units_per_m
        return dataclasses.replace(_described(folder), units_per_m=packed_units)
    return _described(folder)


def _described(folder: pathlib.Path) -> Description:
    if (folder / LABELS).is_file():
        return Description(is_measured=False, units_per_m=_UNITS_PER_M)
    path = folder / DATASET
    if not path.is_file():
        return Description()
    try:
        said = read_json(path)
        return Description(
            units_per_m=_UNITS_PER_M if "unit" in said else None,
            focal_length=_positive(said.get("focal_length")),
            focal_lengths={name: _positive(focal)
                           for name, focal in said.get("focal_lengths", {}).items() if focal})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); convert the folder again, or remove "
                        "the file") from error


def _positive(focal: Any) -> Any:
    if focal is None:
        return None
    if not 0.1 < focal < 100:
        raise ValueError(f"a focal length of {focal} picture widths")
    return float(focal)
