"""The folder of a run: locked for one process, writable, and with enough space.

Needs only the standard library, so that faults are found before TensorFlow is loaded.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import TextIO

from mai_depth.errors import UserError

LOCK = ".lock"

_held: set[pathlib.Path] = set()  # by this process, which a second lock of its own would shut out


@contextlib.contextmanager
def locked(folder: str | os.PathLike, flag: str = "workdir") -> Iterator[None]:
    """Locks a folder for this process until the block ends.

    The lock is an advisory `flock` on `folder/.lock`: the kernel frees it when the process ends,
    however it ends, so a lock is never left behind. The file stays; it names the last holder.

    Args:
        folder: An existing folder.
        flag: The flag by which the user chooses another folder.

    Raises:
        UserError: Another process holds it (the message says which), or it cannot be written.
    """
    folder = pathlib.Path(folder).resolve()
    if folder in _held:
        yield
        return
    with _open_lock(folder, flag) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _unwritable(folder, error, flag) from error
            holder = file.read().strip() or "another process"
            raise UserError(f"{folder}: in use by {holder}; wait for it, or give another --{flag}"
                            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def _open_lock(folder: pathlib.Path, flag: str) -> TextIO:
    try:
        return os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    except OSError as error:
        raise _unwritable(folder, error, flag) from error


def make_workdir(folder: str | os.PathLike, flag: str = "workdir") -> pathlib.Path:
    """Makes a folder and checks that files can be written there.

    Args:
        folder: Its path; `~` is the home folder.
        flag: The flag by which the user chooses another folder.

    Returns:
        The folder.

    Raises:
        UserError: It cannot be made or written.
    """
    folder = pathlib.Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise _unwritable(folder, error, flag) from error
    return folder


def remove_leftovers(*finals: pathlib.Path) -> None:
    """Removes the temporary files of killed processes that wrote these files with `atomic_path`.

    Args:
        finals: The files, in a folder that is locked; a stem may hold wildcards.
    """
    for final in finals:
        for path in final.parent.glob(f".{final.stem}.*{final.suffix}"):
            path.unlink(missing_ok=True)


def require_space(folder: pathlib.Path, needed_bytes: int, what: str, flag: str) -> None:
    """Checks that a file system has enough space.

    Args:
        folder: Where something will be written.
        needed_bytes: Its size.
        what: What it is, in the plural, for the message.
        flag: The flag by which the user chooses another folder.

    Raises:
        UserError: There is less space.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise UserError(
            f"{folder}: {free / 1e6:.0f} MB free, {what} need {needed_bytes / 1e6:.0f} MB; free "
            f"some space, or give another --{flag}"
        )


def _unwritable(folder: pathlib.Path, error: OSError, flag: str = "workdir") -> UserError:
    return UserError(f"{folder}: cannot be written ({error.strerror}); give another --{flag}")
