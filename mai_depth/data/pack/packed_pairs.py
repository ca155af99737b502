"""A split of a packed folder as pairs, decoded when they are read; none are kept in memory."""

import os
from typing import Any

import numpy as np

from mai_depth.data.pack.index import column
from mai_depth.data.pack.manifest import Manifest
from mai_depth.data.pack.packed_files import PackedFiles
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.pairs import LazyNames
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import chosen_numbers
from mai_depth.data.samples import decode_depth
from mai_depth.data.samples import decode_rgb

_SHAPES = {"rgb": (HEIGHT, WIDTH, 3), "depth": (HEIGHT, WIDTH)}
_DTYPES = {"rgb": np.uint8, "depth": np.uint16}


class PackedArray:
    """The pictures or the depth maps of a split as an array [N, ...], decoded when it is indexed.

    Args:
        files: Its files.
        missing_value: See `depth.clear_missing`.
    """

    is_packed = True

    def __init__(self, files: PackedFiles, missing_value: int | None = None):
        self._files, self._missing_value = files, missing_value
        self.shape = (len(files), *_SHAPES[files.part])
        self.dtype = np.dtype(_DTYPES[files.part])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        numbers = chosen_numbers(first, len(self))
        rows = np.empty((numbers.size, *self.shape[1:]), self.dtype)
        for row, number in zip(rows, numbers.reshape(-1).tolist(), strict=True):
            row[:] = self._decoded(number)
        rows = rows.reshape(*numbers.shape, *self.shape[1:])
        return rows[(*[slice(None)] * numbers.ndim, *rest)]

    def _decoded(self, number: int) -> np.ndarray:
        file = self._files.file(number)
        if self._files.part == "rgb":
            return decode_rgb(file)
        return decode_depth(file, self._missing_value)[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


def open_packed(manifest: Manifest, split: str) -> Pairs:
    """Opens a split of a packed folder.

    Args:
        manifest: The folder's manifest; its files have been checked.
        split: The split's name.

    Returns:
        The pairs, with the fingerprint of the folder that was packed.

    Raises:
        UserError: A file beside a shard is damaged.
    """
    said = manifest.splits[split]
    names = column(manifest, split, "name")
    return Pairs(
        names=LazyNames(len(names), lambda number: os.fsdecode(names[number].item())),
        rgb=PackedArray(PackedFiles(manifest, split, "rgb")),
        depth=PackedArray(PackedFiles(manifest, split, "depth"), said.missing_depth_value),
        units_per_m=said.units_per_m,
        fingerprint=said.fingerprint,
        cleared_pixels=said.cleared_pixels,
        cleared_maps=said.cleared_maps,
        picture_digests=column(manifest, split, "picture"),
    )
