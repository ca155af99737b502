"""The manifest of a packed folder, `pack.json`: its splits, shards, sizes and checksums.

    FOLDER/pack.json
    FOLDER/SPLIT-00000.arrayrecord ...   records of pairs, in the order of their names
    FOLDER/SPLIT-00000.npy ...           a row for each of them: its name, digests
    FOLDER/dataset.json, labels.json     as in the folder that was packed, if they were there

It is there from the start, and names the splits once all shards are there.
"""

import dataclasses
import os
import pathlib
from typing import Any

from mai_depth.atomic import write_json_atomic
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

MANIFEST = "pack.json"
VERSION = 1
SHARD_SUFFIX = ".arrayrecord"
INDEX_SUFFIX = ".npy"
COMMAND = "python -m mai_depth.data.pack"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard of a packed folder.

    Attributes:
        name: The file's name there.
        pairs: Number of pairs in it.
        bytes: The file's size.
        sha256: The file's checksum.
    """

    name: str
    pairs: int
    bytes: int
    sha256: str

    @property
    def index(self) -> str:
        """The name of the file with a row for each pair."""
        return self.name.removesuffix(SHARD_SUFFIX) + INDEX_SUFFIX


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """One split of a packed folder.

    Attributes:
        kind: `depth`, or `inverse_depth` without a unit.
        units_per_m: Depth file units per metre.
        missing_depth_value: Another code that means missing, besides 0 and 65535, or None.
        allow_resize: Whether depth may have another size than its picture.
        fingerprint: The `Pairs.fingerprint` of the folder that was packed.
        cleared_pixels: As in `Pairs`.
        cleared_maps: As in `Pairs`.
        left_out: Number of pairs that were left out: broken, or without any valid depth.
        shards: The shards in order.
    """

    kind: str
    units_per_m: float
    missing_depth_value: int | None
    allow_resize: bool
    fingerprint: str
    cleared_pixels: int
    cleared_maps: int
    left_out: int
    shards: tuple[Shard, ...]

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(shard.pairs for shard in self.shards)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A packed folder.

    Attributes:
        folder: Where it lies.
        plan: What was packed, and how, see `packing`.
        splits: By name.
    """

    folder: pathlib.Path
    plan: dict[str, Any]
    splits: dict[str, PackedSplit]

    def check_files(self, split: str) -> None:
        """Checks that the files of a split are there, shards in their full size.

        The records of a shard are checked when they are read.

        Args:
            split: Its name.

        Raises:
            UserError: A file is missing, or a shard has another size.
        """
        for shard in self.splits[split].shards:
            for name, expected in ((shard.name, shard.bytes), (shard.index, None)):
                path = self.folder / name
                try:
                    size = path.stat().st_size
                except OSError as error:
                    raise UserError(f"{path}: cannot be read ({error.strerror}); {self.remedy}"
                                    ) from error
                if expected not in (None, size):
                    raise UserError(f"{path}: has {size} bytes, {expected} were written; "
                                    f"{self.remedy}")

    @property
    def remedy(self) -> str:
        """What to do about a damaged file of the folder."""
        return (f"pack again to rewrite it: {COMMAND} --input={self.plan['input']} "
                f"--output={self.folder}")


def read_manifest(folder: str | os.PathLike) -> Manifest | None:
    """Reads the manifest of a packed folder.

    Args:
        folder: Any folder; it need not exist.

    Returns:
        The manifest; None if the folder is not a packed one.

    Raises:
        UserError: It is damaged, of another version, or packing was not finished.
    """
    folder = pathlib.Path(folder).expanduser()
    path = folder / MANIFEST
    try:
        content = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if content.get("version") != VERSION:
        raise UserError(f"{path}: is of version {content.get('version')}, this mai_depth reads "
                        f"{VERSION}; pack the folder again into another --output")
    try:
        plan = {**content["plan"], "input": content["plan"]["input"]}
        splits = {name: _split(said) for name, said in content["splits"].items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    if not splits:
        raise UserError(f"{folder}: packing was not finished; run the same {COMMAND} again, it "
                        "continues where it stopped")
    return Manifest(folder, plan, splits)


def write_manifest(manifest: Manifest) -> None:
    """Writes `pack.json`; with splits it makes the folder a packed one."""
    write_json_atomic(manifest.folder / MANIFEST, {
        "version": VERSION,
        "plan": manifest.plan,
        "splits": {name: dataclasses.asdict(split) for name, split in manifest.splits.items()},
    })


def packed_split(split_dir: pathlib.Path) -> tuple[Manifest, PackedSplit] | None:
    """Finds a split of a packed folder by the path that it would have unpacked.

    Args:
        split_dir: `FOLDER/SPLIT`.

    Returns:
        The manifest and the split; None if the folder is not a packed one.

    Raises:
        UserError: As `read_manifest`, or the folder has no such split.
    """
    manifest = read_manifest(split_dir.parent)
    if manifest is None:
        return None
    try:
        return manifest, manifest.splits[split_dir.name]
    except KeyError:
        raise UserError(f"{manifest.folder}: packed without {split_dir.name}, it has "
                        f"{' and '.join(manifest.splits)}; pack {split_dir.name} as well") from None


def _split(said: dict[str, Any]) -> PackedSplit:
    return PackedSplit(**{**said, "shards": tuple(Shard(**shard) for shard in said["shards"])})


def _damaged(path: pathlib.Path, error: Exception) -> UserError:
    return UserError(f"{path}: damaged ({type(error).__name__}: {error}); remove {path.parent} and "
                     "pack again")
