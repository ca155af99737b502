"""The folder of a run: one process at a time, writable, and with room for what will be written.

Needs nothing but the standard library, so that all this is known before TensorFlow is loaded.
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

_held: set[pathlib.Path] = set()  # by this process: a second lock of its own would shut it out


@contextlib.contextmanager
def locked(folder: str | os.PathLike, flag: str = "workdir") -> Iterator[None]:
    """Makes a folder this process's own until the block ends.

    The lock is an advisory `flock` on `folder/.lock`: the kernel frees it when the process ends,
    however it ends, so a lock is never left behind. The file stays; it names the last holder.

    Args:
        folder: An existing folder.
        flag: The flag by which the user chooses another one.

    Raises:
        UserError: Another process has it (the message says which), or no file can be made there.
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
    """Makes a folder and proves that files can be written there.

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
    """Removes what killed processes left of writing these files with `atomic_path`.

    Args:
        finals: The files, in a folder that is locked; a stem may hold wildcards.
    """
    for final in finals:
        for path in final.parent.glob(f".{final.stem}.*{final.suffix}"):
            path.unlink(missing_ok=True)


def require_space(folder: pathlib.Path, needed_bytes: int, what: str, flag: str) -> None:
    """Checks that a file system has room for what will be written.

    Args:
        folder: Where it will be written.
        needed_bytes: How much.
        what: What it is, a plural.
        flag: The flag by which the user chooses another folder.

    Raises:
        UserError: There is less.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise UserError(
            f"{folder}: {free / 1e6:.0f} MB free, {what} need {needed_bytes / 1e6:.0f} MB; free "
            f"some space, or give another --{flag}"
        )


def _unwritable(folder: pathlib.Path, error: OSError, flag: str = "workdir") -> UserError:
    return UserError(f"{folder}: cannot be written ({error.strerror}); give another --{flag}")
