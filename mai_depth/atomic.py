"""Atomic writing: a file is either the old one or the complete new one, never a part of it."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The error numbers of a full disk, a used up quota and a limit on the size of files."""

_STALE_SECONDS = 24 * 60 * 60
_PROBE_BYTES = 64 << 10


@contextlib.contextmanager
def atomic_path(final: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path that becomes `final` when the block ends without an error.

    The temporary file lies in the folder of `final` (a rename is atomic only within one file
    system) and keeps its suffix, because `keras.Model.save` decides by it.

    Args:
        final: Where the complete file shall be.

    Yields:
        The path to write to. It is synced to the disk and renamed on success, removed on error.

    Raises:
        OSError: The folder cannot be written or the disk is full; `final` is then untouched.
    """
    final = pathlib.Path(final)
    handle, name = tempfile.mkstemp(prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
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


def _raise_if_full(temporary: pathlib.Path, final: pathlib.Path) -> None:
    """Raises the system's error of a full disk: NumPy, Pillow and HDF5 keep it to themselves."""
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


def remove_stale(folder: pathlib.Path, pattern: str) -> None:
    """Removes temporary files and folders that killed processes left: those older than a day.

    Args:
        folder: Where they lie.
        pattern: Their names; those of living processes, which are younger, match as well.
    """
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _STALE_SECONDS:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


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
