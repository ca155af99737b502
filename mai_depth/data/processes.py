"""Work on all cores: a module-level function, called for many tasks by spawned processes."""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import tqdm

from mai_depth.errors import UserError


def make_all(
    make: Callable[[Any], Any], tasks: Sequence, workers: int | None, title: str
) -> Iterator[Any]:
    """Calls a module-level function for each task, on several cores, with a progress bar.

    Args:
        make: Takes a task.
        tasks: What it is called with; tasks and results must be picklable.
        workers: Number of processes; all cores when None.
        title: The bar's title.

    Yields:
        The results in the order of the tasks.
    """
    with tqdm.tqdm(total=len(tasks), desc=title, unit="pair") as bar:
        for result in in_parallel(make, tasks, workers):
            bar.update()
            yield result


def in_parallel(
    make: Callable[[Any], Any], tasks: Sequence, workers: int | None
) -> Iterator[Any]:
    """Calls a module-level function for each task, on several cores.

    Args:
        make: See `make_all`.
        tasks: See `make_all`.
        workers: See `make_all`; 1 means this process.

    Yields:
        The results in the order of the tasks.

    Raises:
        UserError: A process was killed, or could not start: each imports the caller's script.
    """
    workers = min(workers or os.cpu_count() or 1, max(len(tasks), 1))
    if workers == 1:
        yield from map(make, tasks)
        return
    # Spawned, not forked: the threads of a parent that has loaded TensorFlow do not survive a
    # fork.
    pool = concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin_worker,
    )
    try:
        # Not `map`, which cancels what waits when it is interrupted: Python 3.11 then prints a
        # traceback if a process ends before the pool has noticed.
        with _ctrl_c_held_back():
            waiting = collections.deque(pool.submit(make, task) for task in tasks)
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError("a worker process ended too soon (out of memory?); run the same command "
                        "again; a script of your own needs if __name__ == '__main__':") from error
    except BaseException:
        for child in multiprocessing.active_children():  # else we would wait for their tasks
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Blocks SIGINT in the processes that are started here, which inherit the mask.

    One that is still loading, before `begin_worker`, would otherwise end in a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """Makes a worker leave Ctrl-C to its parent, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # a killed parent tells its workers nothing: they would wait forever
        os._exit(1)
