"""Batches read ahead of the training, by threads or processes, in an order that others decide.

Grain (github.com/google/grain) reads and decodes; which pictures a batch has is known before. So the
batches are the same whatever the number of processes, and a run's state needs no state of Grain.
Needs no TensorFlow: a process that decodes starts in a second and takes 70 MB.
"""

import itertools
import os
import pathlib
import pickle
import tempfile
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from mai_depth.data.pack.shard import EXTRA
from mai_depth.data.pairs import Stored
from mai_depth.errors import UserError

_BLOCK = 64  # batches whose indices are told at once
_AHEAD = 2  # batches that each thread or process may have ready: 50 MB each with 32 pictures
_POLL_S = 0.005
_PROCESSES_FROM = 8  # cores, see `count_workers`


def count_workers() -> int:
    """How many processes decode a packed folder; 0 for threads of this process.

    Pillow decodes outside of the interpreter's lock, so that on few cores threads are as fast, and
    take no memory. On many the lock is what they wait for.
    """
    cores = len(os.sched_getaffinity(0))
    return cores // 4 if cores >= _PROCESSES_FROM else 0


def read_ahead(
    batches: Iterable[tuple[np.ndarray, ...]], count: int, arrays: Sequence[Stored],
    workers: int | None = None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Reads the rows of batches that are known by their indices, in their order.

    Args:
        batches: Of each its indices [B] last; what stands before is handed through.
        count: How many batches there are.
        arrays: What is read: [N, ...] each.
        workers: Number of processes; 0 reads in threads of this one. None: `count_workers`.

    Yields:
        The entry of `batches`, then rows [B, ...] of each array.

    Raises:
        UserError: A picture cannot be read, or Grain is not installed.
    """
    workers = count_workers() if workers is None else workers
    threads = 1 if workers else max(2, len(os.sched_getaffinity(0)))
    ahead = _AHEAD * max(workers, threads) + 1
    with tempfile.TemporaryDirectory(prefix="mai_depth_order_") as folder:
        told = _Told(pathlib.Path(folder), batches)
        told.until(ahead)
        reader = _Reader(pathlib.Path(folder), list(arrays))
        rows = iter(_grain_dataset(reader, count, workers, threads))
        try:
            for number in range(count):
                told.until(number + ahead + 1)
                yield next(rows)
        finally:
            close = getattr(rows, "close", None)
            if close:
                close()


def _grain_dataset(reader: "_Reader", count: int, workers: int, threads: int) -> Any:
    grain = _grain()
    dataset = grain.MapDataset.range(count).map(reader).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads if workers == 0 else 1))
    if workers:
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=1)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_begin_worker)
    return dataset


def _grain() -> Any:
    try:
        import grain
    except ModuleNotFoundError as error:
        raise UserError(f"a packed folder is read with {error.name}; {EXTRA}") from error
    return grain
