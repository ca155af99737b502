"""NYU Depth V2 with its 47584 training pairs, from tensorflow-datasets into the same cache."""

import hashlib
import os
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from mai_depth.data.cache import Sample
from mai_depth.data.cache import cache_folder
from mai_depth.data.cache import read_cache
from mai_depth.data.cache import warn_of_missing
from mai_depth.data.cache import write_cache
from mai_depth.data.pairs import Pairs
from mai_depth.depth import MAX_UNITS
from mai_depth.errors import UserError

NAME = "nyu_depth_v2"
_UNITS_PER_M = 1000.0


def open_nyu_depth_v2(cache_dir: str | os.PathLike, split: str) -> Pairs:
    """Opens NYU Depth V2 (Silberman et al., ECCV 2012) as tensorflow-datasets prepares it.

    tensorflow-datasets downloads 32 GB at the first call, into `TFDS_DATA_DIR` or
    `~/tensorflow_datasets`; the decoded cache of the training split takes another 73 GB.

    Args:
        cache_dir: Folder for the decoded pictures.
        split: `train` or `validation`, or a slice in the syntax of tensorflow-datasets.

    Returns:
        The pairs, depth in millimetres.

    Raises:
        UserError: The data is neither there nor available, or the cache cannot be written.
    """
    folder = cache_folder(cache_dir, f"{NAME}-{split}", (NAME, split))
    pairs = read_cache(folder)
    if pairs is None:
        examples, count = _load(split)
        pairs = write_cache(folder, _samples(examples), count, _UNITS_PER_M)
    warn_of_missing(pairs, folder)
    return pairs


def _load(split: str) -> tuple[Iterable[dict], int]:
    try:
        import tensorflow_datasets as tfds

        dataset = tfds.load(NAME, split=split, shuffle_files=False)
        return tfds.as_numpy(dataset), len(dataset)
    except ModuleNotFoundError as error:
        raise UserError(f"{NAME}: tensorflow-datasets needs {error.name}; "
                        f"pip install {error.name}") from error
    # Network, disk, checksum, version: tensorflow-datasets raises a dozen kinds of errors.
    except Exception as error:
        raise _unavailable(error) from error


def _samples(examples: Iterable[dict[str, Any]]) -> Iterator[Sample]:
    try:
        for index, example in enumerate(examples):
            depth = _millimetres(example["depth"])
            digest = hashlib.sha256(example["image"].tobytes() + depth.tobytes()).digest()
            yield Sample(f"{index:06d}", example["image"], depth, digest)
    except Exception as error:
        raise _unavailable(error) from error


def _millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Turns float16 metres into uint16 millimetres; 0 where not finite or not positive."""
    # In float16, 65.6 m would overflow as millimetres, and 1 mm would be lost at 5 m.
    units = np.rint(depth_m.astype(np.float32) * np.float32(_UNITS_PER_M))
    units = np.where(np.isfinite(units), units, 0)
    return np.clip(units, 0, MAX_UNITS).astype(np.uint16)


def _unavailable(error: Exception) -> UserError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return UserError(
        f"{NAME}: tensorflow-datasets cannot provide it ({reason}); prepare it on a machine with "
        "internet access and set TFDS_DATA_DIR, or give a folder of your own as --data_dir"
    )
