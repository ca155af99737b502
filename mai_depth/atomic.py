"""Atomic writing: a file or folder is the old one or the complete new one, never a part of it."""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The error numbers of a full disk, an exhausted quota and a limit on file size."""

_MARK = ".writing-"
_STEM = 50  # its first letters, since the temporary name too must fit into 255 bytes
_TEMPORARY = re.compile(rf"\..+{re.escape(_MARK)}[a-z0-9_]{{8}}(\.[^.]*)?", re.DOTALL)
_PROBE_BYTES = 64 << 10


@contextlib.contextmanager
def atomic_path(final: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path that becomes `final` when the block ends without an error.

    The temporary file is in the folder of `final` (a rename is atomic only within one file
    system) and keeps its suffix, by which `keras.Model.save` chooses the format.

    Args:
        final: Path of the complete file.

    Yields:
        The path to write to. It is synced to the disk and renamed on success, removed on error.

    Raises:
        OSError: The folder cannot be written or the disk is full; `final` is then untouched.
    """
    final = pathlib.Path(final)
    handle, temporary = _claimed(lambda: tempfile.mkstemp(
        prefix=f".{final.stem[:_STEM]}{_MARK}", suffix=final.suffix, dir=final.parent))
    try:
        # mkstemp makes the file private; a result is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        try:
            yield temporary
        except Exception:
            _raise_if_full(temporary, final)
            raise
        _sync(temporary)
        os.replace(temporary, final)
        _sync(final.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def atomic_folder(
    final: str | os.PathLike, is_published: Callable[[], bool] = lambda: False
) -> Iterator[pathlib.Path]:
    """Yields an empty folder that becomes `final` when the block ends without an error.

    Leftovers of killed processes beside `final` are removed first.

    Args:
        final: Path of the complete folder; an existing one is replaced.
        is_published: Called at the end: whether another process has put a complete folder at
            `final` already, which then stays.

    Yields:
        The folder to fill. It is synced to the disk and renamed on success, removed on error.

    Raises:
        OSError: The folder around it cannot be written or the disk is full; `final` is then
            untouched.
    """
    final = pathlib.Path(final)
    remove_abandoned(final.parent)
    with temporary_folder(final) as folder:
        new = folder / "new"
        new.mkdir()
        yield new
        os.sync()  # once for all its files, before the name says that they are complete
        if not is_published():
            _put_in_place(new, final)
            _sync(final.parent)


@contextlib.contextmanager
def temporary_folder(final: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a folder beside `final` that is removed when the block ends.

    Args:
        final: The path that something in it will be renamed to.

    Yields:
        The folder.

    Raises:
        OSError: The folder around it cannot be written.
    """
    final = pathlib.Path(final)

    def make() -> tuple[int, str]:
        while True:
            name = tempfile.mkdtemp(prefix=f".{final.name[:_STEM]}{_MARK}", dir=final.parent)
            # Until it is open it looks abandoned, and another process may remove it.
            with contextlib.suppress(FileNotFoundError):
                return os.open(name, os.O_RDONLY), name

    handle, folder = _claimed(make)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_abandoned(folder: str | os.PathLike) -> None:
    """Removes leftovers of killed processes from a folder, nothing that is still being written.

    Args:
        folder: Where `atomic_path` or `temporary_folder` was used; its subfolders are not searched.
    """
    with contextlib.suppress(OSError), os.scandir(pathlib.Path(folder)) as entries:
        for entry in [entry for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # in use by another process, or not ours
                handle = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if entry.is_dir():
                        shutil.rmtree(entry.path)
                    else:
                        os.unlink(entry.path)
                finally:
                    os.close(handle)


def _put_in_place(new: pathlib.Path, final: pathlib.Path) -> None:
    """Renames; a folder cannot replace another in one step, so the old one is moved aside first."""
    for number in itertools.count():
        aside = new.with_name(f"old_{number}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(final, aside)
        try:
            os.replace(new, final)
            return
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process got in between
                continue
            if aside.exists():
                os.replace(aside, final)
            raise


def _claimed(make: Callable[[], tuple[int, str]]) -> tuple[int, pathlib.Path]:
    """Creates a file or folder that is locked while its handle is open and this process lives.

    The kernel frees the lock however the process ends, so a process that can lock it may remove it.
    """
    while True:
        handle, name = make()
        with contextlib.suppress(OSError):  # a file system without locks: then it is never removed
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):  # else it was removed before it was locked
            return handle, pathlib.Path(name)
        os.close(handle)


def _raise_if_full(temporary: pathlib.Path, final: pathlib.Path) -> None:
    """Raises the system's error of a full disk: NumPy, Pillow and HDF5 hide it."""
    try:
        with open(temporary, "ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, error.strerror, os.fspath(final)) from error


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes_atomic(path: str | os.PathLike, data: bytes) -> None:
    """Writes `data` to `path`: the old file or the complete new one, never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8 to `path`: the old file or the complete new one, never a part."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON to `path`; NaN and infinity are refused (`ValueError`)."""
    write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
