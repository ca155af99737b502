"""Decoded pairs of picture and depth, the common form of all data.

Needs only NumPy.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import overload

import numpy as np

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.errors import UserError

HEIGHT = 480
WIDTH = 640

_DESCRIBED = 64  # pictures that `describe` looks at
_DIGESTS = 65536
_PLAUSIBLE_M = (0.1, 100.0)


class Stored(Protocol):
    """An array [N, ...] that is read when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def ndim(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key) -> np.ndarray: ...


class Rows:
    """Chosen rows of an array, indexed like an array and read on demand.

    A split of 7000 VGA pairs takes 10 GB, all of which NumPy's own indexing with a list would read.
    """

    def __init__(self, array: Stored, indices: np.ndarray):
        """Keeps `array` [N, ...] and the row numbers `indices` [n]."""
        self._array = array
        self._indices = indices
        self.shape = (len(indices), *array.shape[1:])
        self.dtype = array.dtype
        self.ndim = array.ndim

    @property
    def is_packed(self) -> bool:
        """Whether a row is decoded when it is read."""
        return is_packed(self._array)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, key) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        return self._array[(self._indices[first], *rest)]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def rows(self, indices: np.ndarray) -> "Rows":
        """Selects rows `indices` [n] of this selection."""
        return Rows(self._array, self._indices[indices])


def chosen_numbers(key: Any, count: int) -> np.ndarray:
    """Returns the numbers that an index selects, without listing all that there are.

    Args:
        key: A number, a slice, or an array of numbers or of booleans.
        count: Length of the indexed array.

    Returns:
        int64, a scalar for a single number.

    Raises:
        IndexError: A number is out of range.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(count))
    numbers = np.asarray(key)
    if numbers.dtype == bool:
        return np.flatnonzero(numbers)
    if numbers.size and not (-count <= numbers.min() and numbers.max() < count):
        raise IndexError(f"{key} of {count}")
    return np.where(numbers < 0, numbers + count, numbers).astype(np.int64)


def is_packed(array: Stored) -> bool:
    """Returns whether rows of an array are decoded when read, so that it pays to read ahead."""
    return getattr(array, "is_packed", False)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """One split, decoded; pictures are read on demand.

    Attributes:
        names: File names without suffix, sorted; in memory or not.
        rgb: uint8 [N, 480, 640, 3].
        depth: uint16 [N, 480, 640] in `1 / units_per_m` metres, 0 = missing.
        units_per_m: Stored units per metre; 1000 for millimetres.
        fingerprint: sha256 of the names, the bytes of all files and the unit. A copy of the
            folder has the same one.
        excluded: One line for each pair that was left out: a broken file, or no valid depth.
        cleared_pixels: Pixels of the whole split whose code was taken for missing, see
            `depth.clear_missing`.
        cleared_maps: Depth maps that have such pixels.
        scale: float32 [N], factors from the depth of each pair to that of the camera whose metres
            a network learns; None if it is this camera.
        picture_digests: uint64 [N], the `picture_digest` of each; None if they are not stored.
    """

    names: Sequence[str]
    rgb: Stored
    depth: Stored
    units_per_m: float
    fingerprint: str
    excluded: tuple[str, ...] = ()
    cleared_pixels: int = 0
    cleared_maps: int = 0
    scale: np.ndarray | None = None
    picture_digests: Stored | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def epoch_size(self) -> int:
        """Number of pictures in an epoch."""
        return len(self)

    @property
    def parts(self) -> Sequence["Pairs"]:
        """The folders of a mixture; else the pairs themselves."""
        return (self,)

    @property
    def home(self) -> "Pairs":
        """The pairs whose metres the network learns: all, or a mixture's first folder."""
        return self

    def depth_m(self, index: int) -> np.ndarray:
        """Reads one depth map: float32 [480, 640] in metres, 0 = missing."""
        depth = self.depth[index].astype(np.float32) / np.float32(self.units_per_m)
        return depth if self.scale is None else depth * self.scale[index]

    def select(self, indices: Sequence[int] | np.ndarray) -> "Pairs":
        """Returns the pairs `indices` in that order; nothing is copied."""
        chosen = np.asarray(indices, np.int64)
        digest = hashlib.sha256(self.fingerprint.encode() + chosen.astype("<i8").tobytes())
        return dataclasses.replace(
            self,
            names=_chosen_names(self.names, chosen),
            rgb=_rows(self.rgb, chosen),
            depth=_rows(self.depth, chosen),
            scale=None if self.scale is None else self.scale[chosen],
            picture_digests=(
                None if self.picture_digests is None else _rows(self.picture_digests, chosen)),
            fingerprint=digest.hexdigest(),
        )


class LazyNames(Sequence[str]):
    """Names that are made on demand: those of millions of pairs would take gigabytes.

    Args:
        count: Number of names.
        name: Returns a name by its number.
    """

    def __init__(self, count: int, name: Callable[[int], str]):
        self._count, self._name = count, name

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, key: int) -> str: ...

    @overload
    def __getitem__(self, key: slice) -> tuple[str, ...]: ...

    def __getitem__(self, key):
        if isinstance(key, slice):
            return tuple(map(self._name, range(self._count)[key]))
        return self._name(range(self._count)[key])


def _chosen_names(names: Sequence[str], chosen: np.ndarray) -> Sequence[str]:
    if isinstance(names, tuple):
        return tuple(names[index] for index in chosen)
    return LazyNames(len(chosen), lambda number: names[int(chosen[number])])


def _rows(array: Stored, indices: np.ndarray) -> Rows:
    return array.rows(indices) if isinstance(array, Rows) else Rows(array, indices)


def split_pairs(pairs: Pairs, validation_count: int, seed: int) -> tuple[Pairs, Pairs]:
    """Splits one folder into training and validation, as the paper does (7385 -> 7000 + 385).

    Args:
        pairs: What to split.
        validation_count: Pairs that go to validation.
        seed: The same seed gives the same split, on any machine.

    Returns:
        Training pairs and validation pairs, each in the order of `pairs`.

    Raises:
        UserError: Nothing would be left on one side.
    """
    if not 0 < validation_count < len(pairs):
        raise UserError(
            f"--validation_count={validation_count}: there are {len(pairs)} pairs; choose from 1 "
            f"to {len(pairs) - 1}"
        )
    # RandomState is frozen by NumPy: a split must not change with a new version of anything.
    order = np.random.RandomState(seed).permutation(len(pairs))
    train, validation = order[validation_count:], order[:validation_count]
    return pairs.select(np.sort(train)), pairs.select(np.sort(validation))


def count_same_pictures(train: Pairs, validation: Pairs) -> int:
    """Counts the validation pictures that are also training pictures, under any name.

    Args:
        train: The training pairs.
        validation: The validation pairs.

    Returns:
        The number of pictures of `validation` with the same pixels as one of `train`.
    """
    asked = np.concatenate(list(_picture_digests(validation)))
    known: set[int] = set()
    for part in train.parts:
        for digests in _picture_digests(part):  # some at a time: there may be millions
            known.update(digests[np.isin(digests, asked)].tolist())
    return sum(digest in known for digest in asked.tolist())


def picture_digest(rgb: np.ndarray) -> int:
    """Hashes a picture, to tell pictures apart.

    Args:
        rgb: uint8 [480, 640, 3].

    Returns:
        64 bits of a checksum.
    """
    # 15 of the 480 rows tell two camera pictures apart, and 7000 pictures are read in seconds.
    return int.from_bytes(hashlib.sha256(rgb[::32].tobytes()).digest()[:8], "little")


def _picture_digests(pairs: Pairs) -> Iterator[np.ndarray]:
    """The digests of all pictures, uint64 [n], some at a time."""
    for start in range(0, len(pairs), _DIGESTS):
        numbers = range(start, min(start + _DIGESTS, len(pairs)))
        if pairs.picture_digests is not None:
            yield np.asarray(pairs.picture_digests[start : numbers.stop])
        else:
            yield np.array([picture_digest(pairs.rgb[index]) for index in numbers], np.uint64)


def describe(pairs: Pairs) -> str:
    """Sums up the depth of a split in one line, so that a wrong unit shows at the start.

    Args:
        pairs: The split; at most 64 pictures, evenly spread, are looked at.

    Returns:
        Count, percentiles 5, 50, 95 in metres, share of missing pixels; and a warning when the
        median is not a plausible distance.
    """
    chosen = np.unique(np.linspace(0, len(pairs) - 1, _DESCRIBED).astype(int))
    # Every fourth row and column: 64 pictures are then read and sorted in a blink.
    depth = np.stack([pairs.depth[index][::4, ::4] for index in chosen]) / pairs.units_per_m
    valid = depth[depth > MIN_DEPTH_M]
    if not valid.size:
        return f"{len(pairs)} pairs, no valid depth in the {len(chosen)} looked at"
    low, median, high = np.percentile(valid, (5, 50, 95))
    line = (
        f"{len(pairs)} pairs, depth {low:.2f} / {median:.2f} / {high:.2f} m (percentiles 5, 50, "
        f"95), {100 * (1 - valid.size / depth.size):.1f} % missing"
    )
    if not _PLAUSIBLE_M[0] < median < _PLAUSIBLE_M[1]:
        line += (
            f"; WARNING: a median of {median:.3g} m is implausible, is "
            f"--depth_units_per_m={pairs.units_per_m:g} right?"
        )
    return line
