"""The rows beside each shard: what is known of its pairs without reading them.

They are memory-mapped NumPy files: as Python strings, the names of millions of pairs would take
gigabytes.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mai_depth.data.mixture import Joined
from mai_depth.data.pack.manifest import Manifest
from mai_depth.errors import UserError

_DIGEST_BYTES = 96  # at most: sha256 of the picture, of the depth, of depth with cleared pixels


def rows_of(pairs: Sequence[tuple[str, bytes, int, int]]) -> np.ndarray:
    """Makes the rows of a shard.

    Args:
        pairs: For each its name, `Sample.digest`, `Sample.cleared` and `picture_digest`.

    Returns:
        A structured array [n] of `name`, `digest`, `digest_bytes`, `cleared` and `picture`.
    """
    width = max((len(os.fsencode(name)) for name, *_ in pairs), default=1)
    rows = np.zeros(len(pairs), [
        ("name", f"S{width}"), ("digest", "u1", _DIGEST_BYTES), ("digest_bytes", "<i4"),
        ("cleared", "<i8"), ("picture", "<u8")])
    for row, (name, digest, cleared, picture) in zip(rows, pairs, strict=True):
        row["name"], row["digest_bytes"] = os.fsencode(name), len(digest)
        row["digest"][: len(digest)] = np.frombuffer(digest, np.uint8)
        row["cleared"], row["picture"] = cleared, picture
    return rows


def column(manifest: Manifest, split: str, name: str) -> Joined:
    """Returns a column of the rows of all shards of a split, as an array [N].

    Args:
        manifest: The packed folder's manifest.
        split: The split's name.
        name: The column's name.

    Raises:
        UserError: A file is damaged.
    """
    return Joined([_mapped(manifest, shard.index, shard.pairs)[name]
                   for shard in manifest.splits[split].shards])


def _mapped(manifest: Manifest, name: str, pairs: int) -> np.ndarray:
    path = manifest.folder / name
    try:
        rows = np.load(path, mmap_mode="r")
        if len(rows) == pairs and {"name", "picture"} <= set(rows.dtype.names or ()):
            return rows
        fault = f"{len(rows)} rows instead of {pairs}"
    except (OSError, ValueError, TypeError, EOFError) as error:
        fault = str(error)
    raise UserError(f"{path}: damaged ({fault}); {_remedy(path, manifest)}")


def _remedy(path: pathlib.Path, manifest: Manifest) -> str:
    return f"remove it, then {manifest.remedy}"
