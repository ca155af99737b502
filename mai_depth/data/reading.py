"""Batches read ahead of the training, by threads or processes, in a given order.

Grain (github.com/google/grain) reads and decodes; which pictures a batch has is decided before. So
the batches do not depend on the number of processes, and a run keeps no state of Grain.
Needs no TensorFlow: a process that decodes starts in a second and takes about 100 MB.
"""

import atexit
import contextlib
import itertools
import math
import os
import pathlib
import pickle
import shutil
import tempfile
import time
import weakref
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Sequence
from multiprocessing import resource_tracker
from typing import Any

import numpy as np

from mai_depth.atomic import write_bytes_atomic
from mai_depth.data.pack.shard import EXTRA
from mai_depth.data.pairs import Stored
from mai_depth.data.processes import begin_worker
from mai_depth.errors import UserError

_BLOCK = 64  # batches whose indices are published at once
_POLL_S = 0.005
_OVER = "over"  # the file that tells readers to stop waiting
_PROCESSES_FROM = 8  # cores, see `count_workers`
_SHARED = pathlib.Path("/dev/shm")


def count_workers(batch_bytes: int) -> int:
    """Chooses how many processes decode a packed folder; 0 for threads of this process.

    Pillow decodes without the interpreter's lock, so on few cores threads are as fast and take a
    fifth less CPU time. On many cores they would wait for the lock.

    Args:
        batch_bytes: Size of a batch in shared memory, of which a container may have little.
    """
    workers = _cores() // 4 if _cores() >= _PROCESSES_FROM else 0
    needed = 4 * workers * batch_bytes
    return workers if _SHARED.is_dir() and shutil.disk_usage(_SHARED).free > needed else 0


def read_ahead(
    batches: Iterable[np.ndarray], count: int, arrays: Sequence[Stored],
    workers: int | None = None,
) -> Generator[list[np.ndarray]]:
    """Reads the rows of batches, in order.

    Args:
        batches: The indices [B] of each.
        count: Number of batches.
        arrays: The arrays to read, [N, ...] each.
        workers: Number of processes; 0 reads in threads of this one. None: `count_workers`.

    Returns:
        An iterator of the rows [B, ...] of each array; `close` it to stop early.

    Raises:
        UserError: A picture cannot be read, or Grain is not installed.
    """
    rows = _read_ahead(batches, count, arrays, workers)
    # A run that stops early, for instance on a signal, may leave this open until Python exits, when
    # half of what closing it needs is gone.
    atexit.register(_close, weakref.ref(rows))
    return rows


def _close(rows: weakref.ref) -> None:
    with contextlib.suppress(ValueError):  # it is running in another thread
        if (generator := rows()) is not None:
            generator.close()


def _read_ahead(
    batches: Iterable[np.ndarray], count: int, arrays: Sequence[Stored], workers: int | None
) -> Generator[list[np.ndarray]]:
    if not count:
        return
    batches = iter(batches)
    first = next(batches)
    if workers is None:
        workers = count_workers(sum(len(first) * math.prod(array.shape[1:]) * array.dtype.itemsize
                                    for array in arrays))
    threads = 1 if workers else max(2, _cores())
    ahead = 2 * max(workers, threads)
    with tempfile.TemporaryDirectory(prefix="mai_depth_order_") as folder:
        order = _Order(pathlib.Path(folder), itertools.chain([first], batches))
        rows = iter(_dataset(_Reader(order.folder, arrays), count, workers, threads))
        try:
            for number in range(count):
                order.tell(min(number + ahead, count - 1))
                yield next(rows)
        finally:
            order.end()
            rows.close()  # ends the processes


def _dataset(reader: "_Reader", count: int, workers: int, threads: int) -> Any:
    grain = _grain()
    # A batch is one element of the dataset: whichever worker reads them, they stay in order.
    dataset = grain.MapDataset.range(count).map(reader).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
    if workers:
        _start_resource_tracker()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=1),
            worker_init_fn=_begin_worker)
    return dataset


def _grain() -> Any:
    try:
        import grain
    except ModuleNotFoundError as error:
        raise UserError(f"packed folders need {error.name}; {EXTRA}") from error
    return grain


def _start_resource_tracker() -> None:
    """Starts the process that frees our shared memory at the end, with its warnings turned off.

    It would warn of the unread batches of a training that was stopped.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _begin_worker(number: int, count: int) -> None:
    begin_worker()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class _Order:
    """Publishes which pictures the next batches have, in files of 64 batches for other processes.

    Args:
        folder: Folder for the files.
        batches: The indices of each batch.
    """

    def __init__(self, folder: pathlib.Path, batches: Iterable[np.ndarray]):
        self.folder = folder
        self._batches = iter(batches)
        self._blocks = 0

    def tell(self, number: int) -> None:
        """Publishes all batches up to `number`, which must exist."""
        while self._blocks * _BLOCK <= number:
            block = [indices for _, indices in zip(range(_BLOCK), self._batches, strict=False)]
            write_bytes_atomic(_block_path(self.folder, self._blocks), pickle.dumps(block))
            self._blocks += 1

    def end(self) -> None:
        """Tells waiting readers that no more batches come."""
        with contextlib.suppress(FileNotFoundError):  # they also stop if the folder is gone
            (self.folder / _OVER).touch()


class _Reader:
    """Reads a batch by its number; called by threads or in another process.

    Args:
        folder: The folder of an `_Order`.
        arrays: The arrays to read.
    """

    def __init__(self, folder: pathlib.Path, arrays: Sequence[Stored]):
        self._folder, self._arrays, self._size = folder, list(arrays), _BLOCK
        self._known: tuple[int, list[np.ndarray]] = -1, []

    def __call__(self, number: int) -> list[np.ndarray]:
        number, place = divmod(int(number), self._size)
        known, block = self._known  # one assignment: another thread may be at the next block
        if known != number:
            block = self._block(number)
            self._known = number, block
        return [np.ascontiguousarray(array[block[place]]) for array in self._arrays]

    def _block(self, number: int) -> list[np.ndarray]:
        """Waits until a block is published, which takes a moment if the reader is far ahead."""
        path = _block_path(self._folder, number)
        while not path.exists():
            if (self._folder / _OVER).exists() or not self._folder.exists():
                raise RuntimeError("this batch is not needed any more")
            time.sleep(_POLL_S)
        return pickle.loads(path.read_bytes())


def _block_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"{number:08d}"
