"""Which pictures to train on and which to validate with: a folder, NYU, or procedural scenes."""

import dataclasses
import pathlib
from typing import Any

from mai_depth.data.batches import open_nyu_depth_v2
from mai_depth.data.batches import open_split
from mai_depth.data.batches import split_pairs
from mai_depth.data.pairs import Pairs
from mai_depth.data.synthetic import write_synthetic
from mai_depth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Data:
    """Where pairs of picture and depth come from.

    Attributes:
        data_dir: Folder in MAI layout; None for procedural scenes; `nyu_depth_v2` for
            tensorflow-datasets.
        cache_dir: Where decoded pictures, scenes and teachers' answers are kept.
        depth_units_per_m: Depth file units in a metre.
        missing_depth_value: One more code that means missing, beside 0 and 65535.
        validation_count: Pairs of the training split to validate on; 0 uses the folder
            `validation`.
        split_seed: Which ones.
        on_bad_sample: `fail` or `skip`.
        allow_resize: Whether depth may have another size than its picture.
    """

    data_dir: str | None
    cache_dir: str
    depth_units_per_m: float = 1000.0
    missing_depth_value: int | None = None
    validation_count: int = 0
    split_seed: int = 0
    on_bad_sample: str = "fail"
    allow_resize: bool = False


def open_data(data: Data) -> tuple[Pairs, Pairs]:
    """Opens the training and the validation pairs; the default scenes are made on the first call.

    Args:
        data: Where they come from.

    Returns:
        Training pairs, validation pairs.

    Raises:
        UserError: What is wrong with the folder or a file in it.
    """
    if data.data_dir == "nyu_depth_v2":
        train = open_nyu_depth_v2(data.cache_dir, "train")
        if data.validation_count:
            return split_pairs(train, data.validation_count, data.split_seed)
        return train, open_nyu_depth_v2(data.cache_dir, "validation")
    folder = data.data_dir or str(write_synthetic(pathlib.Path(data.cache_dir) / "synthetic"))
    settings: dict[str, Any] = dict(
        cache_dir=data.cache_dir,
        depth_units_per_m=data.depth_units_per_m,
        missing_depth_value=data.missing_depth_value,
        allow_resize=data.allow_resize,
        on_bad_sample=data.on_bad_sample,
    )
    train = open_split(folder, "train", **settings)
    if data.validation_count:
        return split_pairs(train, data.validation_count, data.split_seed)
    if not (pathlib.Path(folder) / "validation").is_dir():
        raise UserError(f"{folder}/validation: no such folder; make it, or give "
                        "--validation_count to take pairs of the training split")
    return train, open_split(folder, "validation", **settings)
