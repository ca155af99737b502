"""Labelling by the actors of a Ray cluster, each with its own teachers.

Ray Data (docs.ray.io/en/latest/data) distributes the pictures, applies backpressure and restarts
actors that died. It keeps no order, so results carry their names. Actors write their pairs
themselves, so all nodes must reach the pictures and the output folder by the same path.
"""

import contextlib
import fcntl
import logging
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from mai_depth.errors import UserError
from mai_depth.errors import reason_of
from mai_depth.label.labelled_folder import LabelledFolder

EXTRA = "pip install 'mai_depth[scale]'"

_BLOCK = 16  # pictures that an actor gets at once
_OBJECTS_BYTES = 200 << 20  # for a cluster of this machine: only names and paths go through it
_LOCK = ".actors.lock"
_LAST_ACTORS_S = 60.0  # Ray ends the actors of a driver that was killed within seconds


def label_by_ray(
    todo: Sequence[tuple[str, pathlib.Path]], done: int, folder: LabelledFolder,
    teachers: Sequence[str], say: Callable[[str], None],
) -> int:
    """Labels pictures on a Ray cluster, with a progress bar.

    Uses the cluster that `RAY_ADDRESS` names or that this machine is a node of; else starts one of
    this machine's cores and GPUs.

    Args:
        todo: Names and files of the pictures that have no label.
        done: Number of labelled ones.
        folder: Where the pairs go.
        teachers: As `teachers.open_teacher` takes them; each actor opens its own.
        say: Called with one line for each skipped picture.

    Returns:
        The number of skipped pictures.

    Raises:
        UserError: A teacher's answer is not a depth map, Ray is not installed, or it lost pictures.
        OSError: The disk is full.
    """
    skipped, waiting = 0, {name for name, _ in todo}
    if not todo:
        return 0
    with _cluster() as ray, tqdm(initial=done, total=done + len(todo), unit="picture") as bar:
        for row in _rows(ray, todo, folder, teachers):
            _raise_fault(row)
            waiting.discard(row["name"])
            skipped += row["skipped"]
            for line in row["lines"]:
                say(line)
            bar.update()
    if waiting:
        raise UserError(f"Ray has lost {len(waiting)} pictures, e.g. {min(waiting)}; run the same "
                        "command again")
    return skipped


def wait_for_actors(folder: pathlib.Path) -> None:
    """Waits until the actors of a killed driver have ended, or two would label the same picture.

    Args:
        folder: Where the labels go; locked by this process.

    Raises:
        UserError: They do not end.
    """
    end = time.monotonic() + _LAST_ACTORS_S
    if not (folder / _LOCK).exists():
        return
    with open(folder / _LOCK, "a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return  # closing the file frees the lock for the next actors
            except BlockingIOError:
                if time.monotonic() > end:
                    raise UserError(f"{folder}: actors of an earlier run are still writing to it; "
                                    "stop them (ray stop), or give another --output") from None
                time.sleep(0.2)
            except OSError:  # a file system without locks
                return


class Labeller:
    """An actor that labels one picture after another.

    Args:
        folder: Where the pairs go.
        teachers: As `teachers.open_teacher` takes them.
        threads: Threads of TensorFlow; 0 for its own choice.
    """

    def __init__(self, folder: LabelledFolder, teachers: Sequence[str], threads: int):
        from mai_depth.environment import check_environment
        from mai_depth.environment import start_tensorflow

        self._lock = open(folder.path / _LOCK, "a")  # noqa: SIM115  # as long as the actor lives
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        check_environment()
        if threads:
            for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
                os.environ.setdefault(name, str(threads))
        start_tensorflow()
        from mai_depth.label.teachers import open_teacher

        self._folder = folder
        self._teachers = [open_teacher(source) for source in teachers]

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Labels a picture.

        Args:
            row: `name` and `path`.

        Returns:
            `name`, `lines`, `skipped`; `fault` and `errno` of an error that ends the labelling.
        """
        from mai_depth.label.labelling import label_picture
        from mai_depth.label.labelling import unlabelled_picture

        answer = {"name": row["name"], "lines": [], "skipped": False, "fault": "", "errno": 0}
        if self._folder.has(row["name"]):  # its actor died afterwards, and Ray asks again
            return answer
        try:
            picture = unlabelled_picture(row["name"], pathlib.Path(row["path"]))
            outcome = label_picture(picture, self._folder, self._teachers)
            return {**answer, "lines": outcome.lines, "skipped": outcome.skipped}
        except UserError as error:
            return {**answer, "fault": str(error)}
        except OSError as error:
            return {**answer, "fault": str(error.filename or self._folder.path),
                    "errno": error.errno or 0}


def _rows(
    ray: Any, todo: Sequence[tuple[str, pathlib.Path]], folder: LabelledFolder,
    teachers: Sequence[str],
) -> Iterator[dict[str, Any]]:
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    actors = min(gpus or cores, len(todo))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [{"name": name, "path": os.path.abspath(path)} for name, path in todo]
    labelled = ray.data.from_items(items, override_num_blocks=-(-len(items) // _BLOCK)).map(
        Labeller,
        fn_constructor_args=(folder, list(teachers), 0 if gpus else 1),
        compute=ray.data.ActorPoolStrategy(size=max(1, actors)),
        num_cpus=None if gpus else 1,
        num_gpus=1 if gpus else None,
    )
    yield from labelled.iter_rows()


def _raise_fault(row: dict[str, Any]) -> None:
    if row["errno"]:
        raise OSError(row["errno"], os.strerror(row["errno"]), row["fault"])
    if row["fault"]:
        raise UserError(row["fault"])


@contextlib.contextmanager
def _cluster() -> Iterator[Any]:
    """Connects to the cluster of this machine, or starts one; disconnects at the end."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings are internal
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise UserError(f"--engine=ray: needs {error.name}; {EXTRA}") from error
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        if "RAY_ADDRESS" in os.environ:
            raise UserError(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: no Ray cluster answers "
                            "there; start it, or unset the variable") from None
        _start_here(ray, quiet)
    try:
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield ray
    finally:
        ray.shutdown()


def _start_here(ray: Any, quiet: dict[str, Any]) -> None:
    try:
        # Ray's default is the machine's own address, on which it cannot always listen.
        ray.init(_node_ip_address="127.0.0.1", include_dashboard=False,
                 object_store_memory=_OBJECTS_BYTES, **quiet)
    except Exception as error:  # Ray raises a bare one if its processes start too slowly
        raise UserError(f"--engine=ray: no cluster could be started here ({reason_of(error)[:120]})"
                        "; start one with ray start --head, or leave --engine out") from error
