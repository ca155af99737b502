"""Opens pairs of picture and depth: a folder, NYU Depth V2, or procedural scenes.

Needs no TensorFlow, except to prepare NYU Depth V2.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from mai_depth.data.cache import cache_folder
from mai_depth.data.cache import read_cache
from mai_depth.data.cache import warn_of_missing
from mai_depth.data.cache import write_cache
from mai_depth.data.folder import list_pairs
from mai_depth.data.nyu import open_nyu_depth_v2
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import split_pairs
from mai_depth.data.samples import samples
from mai_depth.data.synthetic import write_synthetic
from mai_depth.depth import MISSING_UNITS
from mai_depth.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataOptions:
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


def open_data(options: DataOptions) -> tuple[Pairs, Pairs]:
    """Opens the training and the validation pairs; the default scenes are made on the first call.

    Args:
        options: Where they come from.

    Returns:
        Training pairs, validation pairs.

    Raises:
        UserError: What is wrong with the folder or a file in it.
    """
    if options.data_dir == "nyu_depth_v2":
        train = open_nyu_depth_v2(options.cache_dir, "train")
        if options.validation_count:
            return split_pairs(train, options.validation_count, options.split_seed)
        return train, open_nyu_depth_v2(options.cache_dir, "validation")
    folder = options.data_dir or _default_scenes(options.cache_dir)
    settings: dict[str, Any] = dict(
        cache_dir=options.cache_dir,
        depth_units_per_m=options.depth_units_per_m,
        missing_depth_value=options.missing_depth_value,
        allow_resize=options.allow_resize,
        on_bad_sample=options.on_bad_sample,
    )
    train = open_split(folder, "train", **settings)
    if options.validation_count:
        return split_pairs(train, options.validation_count, options.split_seed)
    if not (pathlib.Path(folder) / "validation").is_dir():
        raise UserError(f"{folder}/validation: no such folder; make it, or give "
                        "--validation_count to take pairs of the training split")
    return train, open_split(folder, "validation", **settings)


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
    return open_split(data_dir or _default_scenes(cache_dir), split, cache_dir=cache_dir,
                      depth_units_per_m=depth_units_per_m,
                      missing_depth_value=missing_depth_value, allow_resize=allow_resize)


def open_split(
    data_dir: str,
    split: str,
    *,
    cache_dir: str,
    depth_units_per_m: float = 1000.0,
    missing_depth_value: int | None = None,
    allow_resize: bool = False,
    on_bad_sample: str = "fail",
) -> Pairs:
    """Opens `data_dir/split`, decoding it once into `cache_dir`.

    Args:
        data_dir: Folder in MAI 2021 layout, `SPLIT/rgb/NAME.{png,jpg}`, `SPLIT/depth/NAME.png`.
        split: `train` or `validation`, or any other folder there.
        cache_dir: Where decoded pictures are kept (1.5 MB a pair).
        depth_units_per_m: Units of the depth files in a metre; 1000 for millimetres.
        missing_depth_value: One more code of the depth files that means missing, beside 0 and
            65535.
        allow_resize: Accept depth of another size than its picture, of the same aspect.
        on_bad_sample: `"fail"`, or `"skip"` to leave broken pairs out, up to 1 % of them.

    Returns:
        The pairs, at 480x640.

    Raises:
        UserError: Whatever is wrong with the folder or a file in it.
    """
    _refuse_impossible(depth_units_per_m, missing_depth_value)
    split_dir = pathlib.Path(data_dir).expanduser() / split
    files = list_pairs(split_dir)
    stamps = [(pair.name, pair.rgb[1:], pair.depth[1:]) for pair in files]
    key = (str(split_dir.resolve()), float(depth_units_per_m), missing_depth_value, allow_resize,
           stamps)
    folder = cache_folder(cache_dir, split, key)
    pairs = read_cache(folder, allow_broken=on_bad_sample == "skip")
    if pairs is None:
        decoded = samples(files, allow_resize=allow_resize, on_bad_sample=on_bad_sample,
                          missing_value=missing_depth_value)
        pairs = write_cache(folder, decoded, len(files), depth_units_per_m)
    warn_of_missing(pairs, folder)
    return pairs


def _default_scenes(cache_dir: str) -> str:
    return str(write_synthetic(pathlib.Path(cache_dir) / "synthetic"))


def _refuse_impossible(depth_units_per_m: float, missing_depth_value: int | None) -> None:
    if not (np.isfinite(depth_units_per_m) and depth_units_per_m > 0):
        raise UserError(f"--depth_units_per_m={depth_units_per_m}: must be positive")
    if missing_depth_value is not None and missing_depth_value not in range(MISSING_UNITS + 1):
        raise UserError(f"--missing_depth_value={missing_depth_value}: give a code of the depth "
                        f"files, 0 to {MISSING_UNITS}")
