"""A shard: records of pairs in one ArrayRecord file, written whole, read in any order.

ArrayRecord (github.com/google/array_record) checks a hash of each record when it is read.
"""

import functools
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any
from typing import BinaryIO

from mai_depth.data.pack.manifest import COMMAND
from mai_depth.data.pack.manifest import SHARD_SUFFIX
from mai_depth.data.pack.manifest import read_manifest
from mai_depth.data.pack.record import HeldFile
from mai_depth.data.pack.record import Record
from mai_depth.data.pack.record import decode
from mai_depth.errors import UserError
from mai_depth.errors import reason_of

EXTRA = "pip install 'mai_depth[scale]'"

# One record a block, to read a pair without its neighbours; JPEG and PNG do not compress further.
_WRITER = "group_size:1,uncompressed"
# The index stays on the disk: in memory it would grow with the data.
_READER = "readahead_buffer_size:0,footer_prefetch_bytes:0,index_storage_option:offloaded"
_OPEN = 512  # files at a time; a process can often open 1024
_PLACE = re.compile(rf"(.+{re.escape(SHARD_SUFFIX)})/(\d+)/(rgb|depth)/.+", re.DOTALL)


def array_record() -> Any:
    """Imports ArrayRecord's module; raises `UserError` if the extra is not installed."""
    try:
        from array_record.python import array_record_module
    except ModuleNotFoundError as error:
        raise UserError(f"packed folders need {error.name}; {EXTRA}") from error
    return array_record_module


class ShardWriter:
    """Writes a shard.

    Args:
        path: The file; a temporary one, see `atomic.atomic_path`.
    """

    def __init__(self, path: pathlib.Path):
        self._writer = array_record().ArrayRecordWriter(os.fspath(path), _WRITER)

    def write(self, data: bytes) -> None:
        """Appends a record."""
        self._writer.write(data)

    def close(self) -> None:
        """Writes the index of the records, without which the file cannot be read."""
        self._writer.close()


def read_all(path: pathlib.Path) -> Iterator[bytes]:
    """Reads the records of a shard one after the other.

    Args:
        path: The file.

    Yields:
        The bytes of each.

    Raises:
        RuntimeError: One is damaged.
    """
    reader = array_record().ArrayRecordReader(os.fspath(path), _READER)
    for number in range(reader.num_records()):
        yield reader.read([number])[0]


def read_record(path: pathlib.Path, number: int) -> Record:
    """Reads one pair.

    Args:
        path: The shard.
        number: The record's number in it, from 0.

    Returns:
        The pair.

    Raises:
        UserError: The file is missing, damaged or not a shard.
    """
    try:
        status = path.stat()
        # Size and time as well, so that a shard that was packed again is opened again.
        reader = _reader(path, status.st_size, status.st_mtime_ns)
        return decode(reader.read([number])[0])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_remedy(path)}") from error
    except (RuntimeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: damaged, record {number} cannot be read "
                        f"({reason_of(error)[:120]}); {_remedy(path)}") from error


class RecordFile:
    """The picture or the depth map of a record, read when it is opened.

    What reads pictures takes it instead of a path. As a string it looks like a path into the shard,
    which `file_of` turns back into it.

    Args:
        shard: The shard.
        number: The record's number in it.
        part: `rgb` or `depth`.
        name: The pair's name.
    """

    def __init__(self, shard: pathlib.Path, number: int, part: str, name: str):
        self._shard, self._number, self._part = shard, number, part
        self.stem = name

    def __str__(self) -> str:
        return f"{self._shard}/{self._number}/{self._part}/{self.stem}"

    def read_bytes(self) -> bytes:
        """Reads the bytes of the file that was packed."""
        return getattr(read_record(self._shard, self._number), self._part)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens the file for reading."""
        return HeldFile(str(self), self.read_bytes()).open(mode)

    def resolve(self) -> pathlib.Path:
        """Refuses, because there is no file to link to."""
        raise UserError(f"{self._shard.parent}: is packed, so it has no files to link; give the "
                        "folder that it was packed from")


def file_of(text: str) -> pathlib.Path | RecordFile:
    """Returns the file that a string names.

    Args:
        text: A path, or a `RecordFile` as a string.

    Returns:
        The path, or the `RecordFile`.
    """
    place = _PLACE.fullmatch(text)
    if not place:
        return pathlib.Path(text)
    shard, number, part = place.groups()
    return RecordFile(pathlib.Path(shard), int(number), part, text.rpartition("/")[2])


@functools.lru_cache(_OPEN)
def _reader(path: pathlib.Path, size: int, mtime_ns: int) -> Any:
    return array_record().ArrayRecordReader(os.fspath(path), _READER)


def _remedy(path: pathlib.Path) -> str:
    try:
        manifest = read_manifest(path.parent)
    except UserError:
        manifest = None
    return manifest.remedy if manifest else f"pack the folder again with {COMMAND}"
