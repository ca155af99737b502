"""A folder in the layout of the MAI 2021 challenge: its pairs, listed without opening a picture.

`SPLIT/rgb/NAME.{png,jpg}` and `SPLIT/depth/NAME.png`.
"""

import os
import pathlib
import stat
from collections.abc import Iterable
from typing import NamedTuple

from mai_depth.data.convert.formats import hint
from mai_depth.data.pack.index import column
from mai_depth.data.pack.manifest import Manifest
from mai_depth.data.pack.manifest import PackedSplit
from mai_depth.data.pack.manifest import packed_split
from mai_depth.data.pack.manifest import read_manifest
from mai_depth.data.pack.packed_files import PackedFiles
from mai_depth.data.pack.record import HeldFile
from mai_depth.data.pack.shard import RecordFile
from mai_depth.depth import INVERSE_DEPTH_DIR
from mai_depth.depth import no_unit
from mai_depth.depth import refuse_inverse_depth
from mai_depth.errors import UserError

_RGB_SUFFIXES = (".png", ".jpg", ".jpeg")
_DEPTH_SUFFIXES = (".png",)


FilePath = pathlib.Path | RecordFile | HeldFile
"""A file, or what opens and reads like one: a file of a packed folder, or one in memory."""


class File(NamedTuple):
    """A listed file; size and time tell whether it has changed."""

    path: FilePath
    size: int
    mtime_ns: int


class PairFiles(NamedTuple):
    """The two files of one pair."""

    name: str
    rgb: File
    depth: File


def list_pairs(split_dir: pathlib.Path, depth_dir: str = "depth") -> list[PairFiles]:
    """Lists the pairs of a split without opening a picture.

    Args:
        split_dir: The folder that holds `rgb` and `depth`, or the path that it would have in a
            packed folder.
        depth_dir: Name of the depth folder.

    Returns:
        The pairs, sorted by name.

    Raises:
        UserError: A folder is missing or empty, a file has no partner, two files have the same
            name, or there is anything other than pictures.
    """
    if packed := packed_split(split_dir):
        return _packed_pairs(packed[0], split_dir, depth_dir)
    if depth_dir != INVERSE_DEPTH_DIR:
        refuse_inverse_depth(split_dir)
    try:
        return _pairs(split_dir, depth_dir)
    except UserError as error:
        other_layout = None if _looks_like_ours(split_dir) else hint(split_dir.parent)
        if other_layout is None:
            raise
        raise UserError(other_layout) from error


def has_split(data_dir: str | os.PathLike, split: str) -> bool:
    """Returns whether a data folder has a split.

    Args:
        data_dir: The folder, packed or not.
        split: E.g. `validation`.

    Returns:
        Whether it is there.

    Raises:
        UserError: The folder is packed, and its manifest is damaged.
    """
    manifest = read_manifest(data_dir)
    if manifest:
        return split in manifest.splits
    return (pathlib.Path(data_dir).expanduser() / split).is_dir()


def has_inverse_depth(split_dir: pathlib.Path) -> bool:
    """Returns whether a split holds inverse depth without a unit, as `mai_depth.label` writes."""
    if packed := packed_split(split_dir):
        return packed[1].kind == INVERSE_DEPTH_DIR
    return (split_dir / INVERSE_DEPTH_DIR).is_dir() and not (split_dir / "depth").is_dir()


def refuse_other_kind(said: PackedSplit, split_dir: pathlib.Path, depth_dir: str) -> None:
    """Refuses a packed split of the other kind of depth.

    Args:
        said: The split in its manifest.
        split_dir: The path that it would have.
        depth_dir: The kind that is needed, `depth` or `inverse_depth`.

    Raises:
        UserError: It holds the other kind.
    """
    if said.kind == depth_dir:
        return
    if said.kind == INVERSE_DEPTH_DIR:
        raise no_unit(split_dir)
    raise UserError(f"{split_dir}: holds depth in metres, not {INVERSE_DEPTH_DIR}")


def _packed_pairs(manifest: Manifest, split_dir: pathlib.Path, depth_dir: str) -> list[PairFiles]:
    split = split_dir.name
    refuse_other_kind(manifest.splits[split], split_dir, depth_dir)
    manifest.check_files(split)
    rgb, depth = (PackedFiles(manifest, split, part) for part in ("rgb", "depth"))
    names = column(manifest, split, "name")
    files = []
    for number in range(len(rgb)):
        name = os.fsdecode(names[number].item())
        files.append(PairFiles(name, File(rgb.file(number, name), 0, 0),
                               File(depth.file(number, name), 0, 0)))
    return files


def _looks_like_ours(split_dir: pathlib.Path) -> bool:
    """Whether the split, or `train` or `validation` beside it, is in the layout that we read."""
    beside = (split_dir.with_name(name) for name in ("train", "validation"))
    return any((split / "rgb").is_dir() and any((split / "depth").glob("*.png"))
               for split in (split_dir, *beside))


def _pairs(split_dir: pathlib.Path, depth_dir: str) -> list[PairFiles]:
    rgb = _list_files(split_dir / "rgb", _RGB_SUFFIXES)
    depth = _list_files(split_dir / depth_dir, _DEPTH_SUFFIXES)
    if alone := sorted(rgb.keys() ^ depth.keys()):
        sides = " and ".join(
            f"{len(orphans)} without {missing} ({_some(orphans)})"
            for orphans, missing in ((rgb.keys() - depth.keys(), "depth"),
                                     (depth.keys() - rgb.keys(), "rgb")) if orphans)
        raise UserError(f"{split_dir}: {len(alone)} files without a partner, {sides}; rgb/NAME and "
                        f"depth/NAME.png belong together: starting with {alone[0]!r}, add the "
                        "missing partner or remove the file")
    return [PairFiles(name, rgb[name], depth[name]) for name in sorted(rgb)]


def _list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, File]:
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); --data_dir must hold "
                        "SPLIT/rgb and SPLIT/depth") from error
    if not entries:
        raise UserError(f"{folder}: the folder is empty; put pictures there or choose another "
                        "--data_dir")
    strange = [entry.name for entry in entries if not entry.name.lower().endswith(suffixes)]
    if strange:
        raise UserError(f"{folder}: {len(strange)} entries are not {' or '.join(suffixes)} files "
                        f"({_some(strange)}); move them elsewhere")
    files: dict[str, File] = {}
    for entry in entries:
        path = pathlib.Path(entry.path)
        if path.stem in files:
            raise UserError(f"{path} and {files[path.stem].path} have the same name; remove one")
        try:
            status = entry.stat()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); replace it") from error
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a file; move it elsewhere")
        files[path.stem] = File(path, status.st_size, status.st_mtime_ns)
    return files


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
