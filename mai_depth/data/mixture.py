"""Several folders as one: each has its share of an epoch, and the loss that its labels allow.

Needs only NumPy.
"""

import dataclasses
import enum
import hashlib
from collections.abc import Sequence

import numpy as np

from mai_depth.data.pairs import LazyNames
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import chosen_numbers
from mai_depth.data.pairs import is_packed
from mai_depth.errors import UserError


class Labels(enum.IntEnum):
    """What a depth map means, which decides its loss."""

    METRIC = 0
    """Metres of a known camera: scale and shape count."""
    SHAPE = 1
    """Guessed metres, such as a teacher's for an unknown camera: only the shape counts."""
    RELATIVE = 2
    """Inverse depth with another scale and shift in each picture."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One folder of a mixture.

    Attributes:
        name: The folder, for messages.
        pairs: Its training pairs; `scale` brings their depth to the mixture's camera.
        share: Its share of an epoch's pictures; None for one by its number of pictures.
        labels: What its depth means.
        note: What the user should know of it; empty if nothing.
    """

    name: str
    pairs: Pairs
    share: float | None = None
    labels: Labels = Labels.METRIC
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Mixture(Pairs):
    """The pairs of several folders, one after the other.

    Attributes:
        folders: The folders as they were mixed.
        counts: Pictures of each folder in an epoch; their sum is the size of the first folder.
        labels: uint8 [N], the `Labels` of each pair.
    """

    folders: tuple[Part, ...] = ()
    counts: tuple[int, ...] = ()
    labels: np.ndarray | None = None

    @property
    def epoch_size(self) -> int:
        """Number of pictures in an epoch."""
        return sum(self.counts)

    @property
    def parts(self) -> Sequence[Pairs]:
        """The pairs of each folder."""
        return [folder.pairs for folder in self.folders]

    @property
    def home(self) -> Pairs:
        """The pairs of the first folder, whose metres the network learns."""
        return self.folders[0].pairs


class Joined:
    """Arrays [N, ...] one after the other, indexed like one array, without a copy."""

    def __init__(self, arrays: Sequence):
        """Keeps the arrays, which agree in all but their length."""
        self._arrays = tuple(arrays)
        self._starts = np.cumsum([0, *map(len, arrays)])
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])
        self.dtype = np.result_type(*(array.dtype for array in arrays))
        self.ndim = arrays[0].ndim
        self.is_packed = any(map(is_packed, arrays))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        numbers = chosen_numbers(first, len(self))
        flat = numbers.reshape(-1)
        source = np.searchsorted(self._starts, flat, side="right") - 1
        rows = np.empty((len(flat), *self.shape[1:]), self.dtype)
        for number in np.unique(source):
            at = np.flatnonzero(source == number)
            rows[at] = self._arrays[number][flat[at] - self._starts[number]]
        rows = rows.reshape((*numbers.shape, *self.shape[1:]))
        return rows[(*[slice(None)] * numbers.ndim, *rest)]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


def mix(parts: Sequence[Part]) -> Pairs:
    """Joins folders.

    Args:
        parts: The folders; the network learns the metres of the first.

    Returns:
        A `Mixture`, or the pairs of a single folder as they are.

    Raises:
        UserError: The shares leave nothing for a folder.
    """
    first = parts[0].pairs
    if len(parts) == 1:
        return first
    counts = _counts(parts)
    folders = [part.pairs for part in parts]
    scales = [_scale(pairs, first.units_per_m) for pairs in folders]
    labels = [np.full(len(part.pairs), part.labels, np.uint8) for part in parts]
    return Mixture(
        names=_names(parts),
        rgb=Joined([pairs.rgb for pairs in folders]),
        depth=Joined([pairs.depth for pairs in folders]),
        units_per_m=first.units_per_m,
        fingerprint=_fingerprint(folders, counts, scales, labels),
        scale=np.concatenate(scales),
        folders=tuple(parts),
        counts=counts,
        labels=np.concatenate(labels),
    )


def _names(parts: Sequence[Part]) -> Sequence[str]:
    """The names of all pairs, each after that of its folder."""
    starts = np.cumsum([0, *(len(part.pairs) for part in parts)])

    def name(number: int) -> str:
        at = int(np.searchsorted(starts, number, side="right")) - 1
        return f"{parts[at].name}: {parts[at].pairs.names[number - int(starts[at])]}"

    return LazyNames(int(starts[-1]), name)


def _counts(parts: Sequence[Part]) -> tuple[int, ...]:
    """Number of pictures of each folder in an epoch."""
    total = sum(len(part.pairs) for part in parts)
    others = [len(part.pairs) / total if part.share is None else part.share for part in parts[1:]]
    own = 1 - sum(others) if parts[0].share is None else parts[0].share
    shares = np.array([own, *others])
    size = len(parts[0].pairs)
    counts = np.rint(shares / shares.sum() * size).astype(int)
    counts[0] += size - counts.sum()
    for part, count in zip(parts, counts, strict=True):
        if count < 1 or own <= 0:
            raise UserError(
                f"--data_dir={part.name}: of the {size} pictures of an epoch (as many as the first "
                "folder has) none is left for it; change the shares, e.g. --data_dir=B:0.3")
    return tuple(map(int, counts))


def _scale(pairs: Pairs, units_per_m: float) -> np.ndarray:
    """Factors from stored depth, divided by `units_per_m`, to metres of the mixture's camera."""
    scale = np.ones(len(pairs)) if pairs.scale is None else pairs.scale
    return (scale * (units_per_m / pairs.units_per_m)).astype(np.float32)


def _fingerprint(
    folders: Sequence[Pairs], counts: Sequence[int], scales: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
) -> str:
    digest = hashlib.sha256(repr(tuple(counts)).encode())
    for pairs, scale, label in zip(folders, scales, labels, strict=True):
        digest.update(pairs.fingerprint.encode() + scale.tobytes() + label.tobytes())
    return digest.hexdigest()
