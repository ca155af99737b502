"""The processes and devices that train one model together.

Each process runs the same program. Only process 0, the chief, evaluates, reads states and writes;
the others get its results (`Workers.chief_says`). In a single process nothing here costs time.
"""

import contextlib
import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mai_depth.errors import UserError

_CHUNK = 1 << 20  # of 16 bits in one all-reduce
_OF_LOST_PEER = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError,
                 tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError)


class Workers:
    """All devices of a training, in one process or in several.

    Args:
        strategy: From `tf.distribute`.
        is_chief: Whether this process writes.
        processes: Number of processes.
        synchronized: Whether BatchNormalization sees the whole batch; else each device uses the
            statistics of its own part.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, is_chief: bool = True, processes: int = 1,
        synchronized: bool = True,
    ):
        self.strategy = strategy
        self.is_chief = is_chief
        self.processes = processes
        self.synchronized = synchronized and strategy.num_replicas_in_sync > 1
        self._sum = tf.function(self._sum_of_chief)

    @property
    def replicas(self) -> int:
        """Number of devices that train, in all processes."""
        return self.strategy.num_replicas_in_sync

    def scope(self) -> contextlib.AbstractContextManager:
        """The scope in which models and optimizers must be created."""
        return self.strategy.scope()

    def check_batch(self, batch_size: int, flag: str = "batch_size") -> None:
        """Raises `UserError` unless all replicas get the same number of pictures of a batch."""
        if batch_size % self.replicas:
            raise UserError(f"--{flag}={batch_size}: cannot be shared equally by {self.replicas} "
                            f"devices; give a multiple of {self.replicas}")

    def chief_says(self, make: Callable[[], Any]) -> Any:
        """Calls a function only in the chief; all processes wait for its result and return it.

        Args:
            make: Returns a value that JSON can hold.
        """
        if self.processes == 1:
            return make()
        return json.loads(self.chief_sends(lambda: json.dumps(make()).encode()))

    def chief_first(self, make: Callable[[], Any]) -> Any:
        """Calls a function in the chief, where it fills a shared cache, then in the others."""
        result = make() if self.is_chief else None
        self.wait()
        return result if self.is_chief else make()

    def wait(self) -> None:
        """Waits until all processes are here."""
        self.chief_says(lambda: None)

    def chief_sends(self, make: Callable[[], bytes]) -> bytes:
        """Like `chief_says`, for bytes."""
        if self.processes == 1:
            return make()
        data = make() if self.is_chief else b""
        size = np.zeros(4, np.uint16)
        size.view(np.uint64)[:] = len(data)
        count = int(self._from_chief(size).view(np.uint64)[0])
        padded = data.ljust(-(-count // (2 * _CHUNK)) * 2 * _CHUNK, b"\0")
        halves = (np.frombuffer(padded, np.uint16) if self.is_chief
                  else np.zeros(len(padded) // 2, np.uint16))
        parts = [self._from_chief(halves[start : start + _CHUNK])
                 for start in range(0, len(halves), _CHUNK)]
        return b"".join(part.tobytes() for part in parts)[:count]

    def _from_chief(self, halves: np.ndarray) -> np.ndarray:
        # As floats, which hold 16 bits exactly: not every device adds integers.
        total = self._sum(tf.constant(halves.astype(np.float32)))
        return np.asarray(total).astype(np.uint16)

    def _sum_of_chief(self, values: tf.Tensor) -> tf.Tensor:
        def in_replica(values):
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            return context.all_reduce(
                tf.distribute.ReduceOp.SUM, tf.where(is_first, values, tf.zeros_like(values)))

        return self.first(self.strategy.run(in_replica, args=(values,)))

    def first(self, value: Any) -> Any:
        """The copy of this process's first replica, of a value that is equal in all."""
        return tf.nest.map_structure(
            lambda one: self.strategy.experimental_local_results(one)[0], value)

    @contextlib.contextmanager
    def faults_of_peers(self) -> Iterator[None]:
        """Turns TensorFlow's errors about a lost process into one line.

        Raises:
            UserError: Another process has ended, or does not answer.
        """
        try:
            yield
        except _OF_LOST_PEER as error:
            if self.processes == 1:
                raise
            task = re.search(r"/job:(\w+)/replica:0/task:(\d+)", error.message or "")
            who = f"{task[1]} {task[2]}" if task else "another process"
            raise UserError(
                f"--strategy=multi_worker: {who} has ended or does not answer; see its output, "
                "then start all processes again: they continue after the last complete epoch"
            ) from error


def workers_or_one(workers: Workers | None) -> Workers:
    """The given workers, or this process's first device."""
    return workers or Workers(tf.distribute.get_strategy())
