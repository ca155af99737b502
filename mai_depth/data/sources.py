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
from mai_depth.data.description import DATASET
from mai_depth.data.description import read_description
from mai_depth.data.folder import has_inverse_depth
from mai_depth.data.folder import has_split
from mai_depth.data.folder import list_pairs
from mai_depth.data.folder import refuse_other_kind
from mai_depth.data.mixture import Labels
from mai_depth.data.mixture import Part
from mai_depth.data.mixture import mix
from mai_depth.data.nyu import NAME as NYU_DEPTH_V2
from mai_depth.data.nyu import open_nyu_depth_v2
from mai_depth.data.pack.manifest import Manifest
from mai_depth.data.pack.manifest import PackedSplit
from mai_depth.data.pack.manifest import packed_split
from mai_depth.data.pack.packed_pairs import open_packed
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import split_pairs
from mai_depth.data.room_folder import NAME as ROOMS
from mai_depth.data.room_folder import rooms_folder
from mai_depth.data.samples import samples
from mai_depth.data.synthetic import write_synthetic
from mai_depth.depth import CANONICAL_FOCAL_LENGTH
from mai_depth.depth import INVERSE_DEPTH_DIR
from mai_depth.depth import MISSING_UNITS
from mai_depth.errors import UserError

SCENES = "scenes"  # the default data set
CACHED_PAIRS = 10_000
"""A packed split of at most this many pairs (15 GB) is decoded once, like a folder of files, so
that an epoch decodes nothing; a larger one is decoded as it is read."""


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Where pairs of picture and depth come from.

    Attributes:
        data_dir: One or more of `FOLDER[:SHARE]`: folders in MAI layout, `rooms`, or
            `nyu_depth_v2` for tensorflow-datasets; none for the default scenes. An epoch has as
            many pictures as the first folder; SHARE of them come from that FOLDER.
        cache_dir: Folder for decoded pictures, scenes and teachers' answers.
        depth_units_per_m: Units of the depth files per metre.
        missing_depth_value: Another code that means missing, besides 0 and 65535.
        validation_count: Pairs of the training split to validate on; 0 uses the folder
            `validation`.
        split_seed: The seed that picks them.
        on_bad_sample: `fail` or `skip`.
        allow_resize: Whether depth may have another size than its picture.
    """

    data_dir: tuple[str, ...]
    cache_dir: str
    depth_units_per_m: float = 1000.0
    missing_depth_value: int | None = None
    validation_count: int = 0
    split_seed: int = 0
    on_bad_sample: str = "fail"
    allow_resize: bool = False


def open_data(options: DataOptions) -> tuple[Pairs, Pairs]:
    """Opens the training and the validation pairs; scenes and rooms are made on the first call.

    Of several folders the first gives the validation pairs and the camera whose metres the network
    learns: measured depth of the others is scaled to its focal length (as in Metric3D, Yin et al.
    2023). If that of a folder is unknown, or its depth was predicted by teachers, only the shape
    counts; of inverse depth without a unit only what scale and shift do not change.

    Args:
        options: Where they come from.

    Returns:
        Training pairs (of several folders a `Mixture`), validation pairs.

    Raises:
        UserError: A folder or a file in it cannot be used.
    """
    asked = [parse_share(text) for text in options.data_dir] or [(SCENES, None)]
    train, validation = _open_first(asked[0][0], options)
    parts = [Part(asked[0][0], train, asked[0][1])]
    canonical = home_focal_length(options) or CANONICAL_FOCAL_LENGTH
    for name, share in asked[1:]:
        parts.append(_open_other(name, share, options, canonical))
    return mix(parts), validation


def open_others(options: DataOptions) -> dict[str, Pairs]:
    """Opens the validation pairs of all folders but the first, where there are any.

    Args:
        options: As in `open_data`.

    Returns:
        Pairs by folder.

    Raises:
        UserError: A folder or a file in it cannot be used.
    """
    names = [parse_share(text)[0] for text in options.data_dir[1:]]
    return {name: open_split(name, "validation", **_settings(name, options))
            for name in names if has_split(name, "validation")}


def parse_share(text: str) -> tuple[str, float | None]:
    """Splits `FOLDER:SHARE`, unless there is a folder of that whole name.

    Args:
        text: A value of `--data_dir`.

    Returns:
        The folder, and its share of an epoch or None.

    Raises:
        UserError: The share is not between 0 and 1.
    """
    name, colon, share = text.rpartition(":")
    if not colon or not name or pathlib.Path(text).exists():
        return text, None
    try:
        value = float(share)
    except ValueError:
        return text, None
    if not 0 < value < 1:
        raise UserError(f"--data_dir={text}: a share must be between 0 and 1; give one, e.g. "
                        f"--data_dir={name}:0.3")
    return name, value


def _open_first(name: str, options: DataOptions) -> tuple[Pairs, Pairs]:
    if name == NYU_DEPTH_V2:
        train = open_nyu_depth_v2(options.cache_dir, "train")
        if options.validation_count:
            return split_pairs(train, options.validation_count, options.split_seed)
        return train, open_nyu_depth_v2(options.cache_dir, "validation")
    if name == ROOMS and not options.validation_count and not pathlib.Path(name).exists():
        raise UserError(f"--data_dir={name}: nothing to validate on; give your own folder first, "
                        "or --validation_count=100")
    folder = _folder(name, options)
    settings = _settings(folder, options)
    train = open_split(folder, "train", **settings)
    if options.validation_count:
        return split_pairs(train, options.validation_count, options.split_seed)
    if not has_split(folder, "validation"):
        raise UserError(f"{folder}/validation: no such folder; make it, or give "
                        "--validation_count to take pairs of the training split")
    return train, open_split(folder, "validation", **settings)


def _open_other(name: str, share: float | None, options: DataOptions, canonical: float) -> Part:
    if name == NYU_DEPTH_V2:
        return Part(name, open_nyu_depth_v2(options.cache_dir, "train"), share)
    folder = _folder(name, options)
    if has_inverse_depth(pathlib.Path(folder) / "train"):
        pairs = open_split(folder, "train", relative=True, **_settings(folder, options))
        return Part(name, pairs, share, Labels.RELATIVE)
    pairs = open_split(folder, "train", **_settings(folder, options))
    description = read_description(folder)
    if not description.is_measured:
        return Part(name, pairs, share, Labels.SHAPE)
    focal_lengths = description.of("train", pairs.names)
    if focal_lengths is None:
        note = (f"WARNING: its shape is learned, but not its metres, because {folder}/{DATASET} "
                "gives no focal_length (fx / width)")
        return Part(name, pairs, share, Labels.SHAPE, note)
    scale = (canonical / np.array(focal_lengths)).astype(np.float32)
    return Part(name, dataclasses.replace(pairs, scale=scale), share)


def home_focal_length(options: DataOptions) -> float | None:
    """Returns the focal length of the camera whose metres are learned, that of the first folder.

    Args:
        options: As in `open_data`.

    Returns:
        In picture widths; None if it is unknown.
    """
    name = (parse_share(options.data_dir[0]) if options.data_dir else (SCENES, None))[0]
    if name == NYU_DEPTH_V2:
        return CANONICAL_FOCAL_LENGTH
    return read_description(_folder(name, options)).focal_length


def _folder(name: str, options: DataOptions) -> str:
    if pathlib.Path(name).exists():
        return name
    if name == ROOMS:
        return str(rooms_folder(options.cache_dir))
    return _default_scenes(options.cache_dir) if name == SCENES else name


def _settings(folder: str, options: DataOptions) -> dict[str, Any]:
    return dict(
        cache_dir=options.cache_dir,
        depth_units_per_m=read_description(folder).units_per_m or options.depth_units_per_m,
        missing_depth_value=options.missing_depth_value,
        allow_resize=options.allow_resize,
        on_bad_sample=options.on_bad_sample,
    )


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
        cache_dir: Folder for decoded pictures and scenes.
        depth_units_per_m: Units of the depth files per metre.
        missing_depth_value: Another code that means missing, besides 0 and 65535.
        allow_resize: Accept depth of another size than its picture, of the same aspect.

    Returns:
        The pairs.

    Raises:
        UserError: The folder or a file in it cannot be used.
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
    relative: bool = False,
) -> Pairs:
    """Opens `data_dir/split`, decoding it once into `cache_dir`, unless it is packed and large.

    Args:
        data_dir: Folder in MAI 2021 layout, `SPLIT/rgb/NAME.{png,jpg}`, `SPLIT/depth/NAME.png`; or
            a packed one, whose own units, missing code and `allow_resize` apply.
        split: `train` or `validation`, or any other folder there.
        cache_dir: Folder for decoded pictures (1.5 MB a pair).
        depth_units_per_m: Units of the depth files per metre; 1000 for millimetres.
        missing_depth_value: Another code that means missing, besides 0 and 65535.
        allow_resize: Accept depth of another size than its picture, of the same aspect.
        on_bad_sample: `"fail"`, or `"skip"` to leave broken pairs out, up to 1 % of them.
        relative: Read inverse depth without a unit, `SPLIT/inverse_depth`, instead of depth.

    Returns:
        The pairs, at 480x640.

    Raises:
        UserError: The folder or a file in it cannot be used.
    """
    _refuse_impossible(depth_units_per_m, missing_depth_value)
    split_dir = pathlib.Path(data_dir).expanduser() / split
    packed = packed_split(split_dir)
    if packed:
        manifest, said = packed
        _check_packed(manifest, said, split_dir, missing_depth_value, relative)
        if said.pairs > CACHED_PAIRS:
            return open_packed(manifest, split)
        depth_units_per_m, missing_depth_value = said.units_per_m, said.missing_depth_value
        allow_resize = said.allow_resize
    files = list_pairs(split_dir, INVERSE_DEPTH_DIR if relative else "depth")
    stamps: list = ([said.fingerprint] if packed else
                    [(pair.name, pair.rgb[1:], pair.depth[1:]) for pair in files])
    key = (str(split_dir.resolve()), float(depth_units_per_m), missing_depth_value, allow_resize,
           stamps, *([INVERSE_DEPTH_DIR] if relative else []))
    folder = cache_folder(cache_dir, split, key)
    pairs = read_cache(folder, allow_broken=on_bad_sample == "skip")
    if pairs is None:
        decoded = samples(files, allow_resize=allow_resize, on_bad_sample=on_bad_sample,
                          missing_value=missing_depth_value)
        pairs = write_cache(folder, decoded, len(files), depth_units_per_m)
    warn_of_missing(pairs, folder)
    return pairs


def _check_packed(
    manifest: Manifest, said: PackedSplit, split_dir: pathlib.Path, missing_value: int | None,
    relative: bool,
) -> None:
    refuse_other_kind(said, split_dir, INVERSE_DEPTH_DIR if relative else "depth")
    if missing_value not in (None, said.missing_depth_value):
        raise UserError(f"--missing_depth_value={missing_value}: {manifest.folder} was packed "
                        f"with {said.missing_depth_value}; leave it out, or pack the folder again")
    manifest.check_files(split_dir.name)


def _default_scenes(cache_dir: str) -> str:
    return str(write_synthetic(pathlib.Path(cache_dir) / "synthetic"))


def _refuse_impossible(depth_units_per_m: float, missing_depth_value: int | None) -> None:
    if not (np.isfinite(depth_units_per_m) and depth_units_per_m > 0):
        raise UserError(f"--depth_units_per_m={depth_units_per_m}: must be positive")
    if missing_depth_value is not None and missing_depth_value not in range(MISSING_UNITS + 1):
        raise UserError(f"--missing_depth_value={missing_depth_value}: give a code of the depth "
                        f"files, 0 to {MISSING_UNITS}")
