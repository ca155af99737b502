"""The machines of a training, as the environment variable TF_CONFIG names them.

`{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}`, see
https://www.tensorflow.org/guide/distributed_training#TF_CONFIG. Needs no TensorFlow, which would
wait forever for a process that never starts.
"""

import contextlib
import dataclasses
import json
import os
import socket
import time
from typing import NamedTuple

from mai_depth.errors import UserError

_EXAMPLE = ('{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, '
            '"task": {"type": "worker", "index": 0}}')
_RETRY_S = 0.2


class Task(NamedTuple):
    """One process: its place in TF_CONFIG and its address."""

    kind: str
    index: int
    host: str
    port: int


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All processes of a training.

    Attributes:
        tasks: The processes, the chief first.
        own: The index of this process among them.
    """

    tasks: tuple[Task, ...]
    own: int

    @property
    def is_chief(self) -> bool:
        """Whether this process evaluates and writes."""
        return self.own == 0


def read_cluster() -> Cluster:
    """Reads TF_CONFIG.

    Raises:
        UserError: It is missing or invalid, or lists other jobs than chief and worker.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        tasks = tuple(
            Task(kind, index, *_address(address)) for kind in ("chief", "worker")
            for index, address in enumerate(config["cluster"].get(kind, [])))
        other = set(config["cluster"]) - {"chief", "worker"}
        own = [(task.kind, task.index) for task in tasks].index(
            (config["task"]["type"], int(config["task"]["index"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--strategy=multi_worker: TF_CONFIG is {text or 'not set'}; it must look "
                        f"like {_EXAMPLE} and name this process") from error
    if other:
        raise UserError(f"TF_CONFIG: {min(other)} takes no part in this training; name only chief "
                        "and worker")
    return Cluster(tasks, own)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def wait_for_all(cluster: Cluster, timeout_s: float) -> None:
    """Waits until every other process listens on its port, and listens on its own meanwhile.

    Args:
        cluster: The processes.
        timeout_s: Seconds to wait.

    Raises:
        UserError: One did not start in time, or this process cannot listen.
    """
    own = cluster.tasks[cluster.own]
    missing = [task for number, task in enumerate(cluster.tasks) if number != cluster.own]
    deadline = time.monotonic() + timeout_s
    try:
        listening = socket.create_server(("", own.port), backlog=1024)
    except OSError as error:
        raise UserError(f"TF_CONFIG: port {own.port} of this machine cannot be used "
                        f"({error.strerror}); name another one") from error
    with listening:
        while missing := [task for task in missing if not _answers(task)]:
            if time.monotonic() > deadline:
                task = missing[0]
                raise UserError(
                    f"{task.kind} {task.index} ({task.host}:{task.port}) did not start within "
                    f"{timeout_s:g} s; start it, or wait longer with --start_timeout_s")
            time.sleep(_RETRY_S)


def _answers(task: Task) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((task.host, task.port), timeout=1):
        return True
    return False
