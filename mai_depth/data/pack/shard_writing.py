"""Writes a shard: reads its pairs, checks them as the training would, and stores them unchanged.

The rows of its pairs are written last, so a packing that was killed goes on after its last whole
shard.
"""

import pathlib
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.atomic import write_json_atomic
from mai_depth.data.cache import Sample
from mai_depth.data.cache import has_depth
from mai_depth.data.folder import File
from mai_depth.data.folder import PairFiles
from mai_depth.data.pack.index import rows_of
from mai_depth.data.pack.manifest import INDEX_SUFFIX
from mai_depth.data.pack.record import HeldFile
from mai_depth.data.pack.record import Record
from mai_depth.data.pack.record import encode
from mai_depth.data.pack.shard import ShardWriter
from mai_depth.data.pack.shard import read_all
from mai_depth.data.pairs import picture_digest
from mai_depth.data.pool import attempt
from mai_depth.data.samples import check_pair
from mai_depth.data.samples import decode_pair
from mai_depth.errors import UserError
from mai_depth.json_file import read_json


class ShardTask(NamedTuple):
    """A task for a process.

    Attributes:
        path: The shard to write. A `.json` beside it lists what is left out.
        pairs: The files.
        units_per_m: Depth file units per metre.
        missing_depth_value: See `depth.clear_missing`.
        allow_resize: See `samples.check_pair`.
        on_bad_sample: `fail` or `skip`.
    """

    path: pathlib.Path
    pairs: Sequence[PairFiles]
    units_per_m: float
    missing_depth_value: int | None
    allow_resize: bool
    on_bad_sample: str

    @property
    def rows_path(self) -> pathlib.Path:
        """The file for the rows; if it is there, the shard is whole."""
        return self.path.with_suffix(INDEX_SUFFIX)

    @property
    def notes(self) -> pathlib.Path:
        """The file for what was left out; missing if nothing was."""
        return self.path.with_suffix(".json")

    @property
    def is_done(self) -> bool:
        """Whether an earlier run has written it."""
        return self.rows_path.exists()


class ShardResult(NamedTuple):
    """What became of a shard: its number of pairs, and a line for each that was left out."""

    asked: int
    broken: list[str]
    without_depth: list[str]


def write_shard(task: ShardTask) -> ShardResult:
    """Writes a shard and reads it back; does nothing if it is done.

    Args:
        task: What to write.

    Returns:
        What became of it.

    Raises:
        UserError: A pair is broken and `on_bad_sample` is `fail`, or other bytes were read back.
        OSError: The disk is full.
    """
    result = ShardResult(len(task.pairs), [], [])
    if task.is_done:
        if task.notes.exists():
            left_out = read_json(task.notes)
            result = ShardResult(len(task.pairs), left_out["broken"], left_out["without_depth"])
        return result
    with atomic_path(task.path) as temporary:
        rows = _write_records(temporary, task, result)
    if not len(rows):
        task.path.unlink()
    if result.broken or result.without_depth:
        write_json_atomic(
            task.notes, {"broken": result.broken, "without_depth": result.without_depth})
    with atomic_path(task.rows_path) as temporary:
        np.save(temporary, rows)
    return result


def _write_records(path: pathlib.Path, task: ShardTask, result: ShardResult) -> np.ndarray:
    writer, rows, checksums = ShardWriter(path), [], []
    try:
        for pair in task.pairs:
            read = attempt(_read, pair, task)
            if isinstance(read, UserError):
                if task.on_bad_sample == "fail":
                    raise read
                result.broken.append(str(read))
                continue
            sample, record = read
            if not has_depth(sample.depth, task.units_per_m):
                result.without_depth.append(f"{sample.name}: no pixel has a valid depth")
                continue
            data = encode(record)
            writer.write(data)
            checksums.append(zlib.crc32(data))
            rows.append(
                (sample.name, sample.digest, sample.cleared, picture_digest(sample.rgb)))
    finally:
        writer.close()
    if [zlib.crc32(data) for data in read_all(path)] != checksums:
        raise UserError(f"{task.path}: other bytes were read back than written; the disk or the "
                        "memory is faulty, write elsewhere")
    return rows_of(rows)


def _read(pair: PairFiles, task: ShardTask) -> tuple[Sample, Record]:
    """Reads both files once, so that what is stored is what was checked."""
    paths = [pathlib.Path(str(file.path)) for file in (pair.rgb, pair.depth)]
    rgb, depth = map(HeldFile.read, paths)
    held = PairFiles(pair.name, File(rgb, 0, 0), File(depth, 0, 0))
    check_pair(held, task.allow_resize)
    sample = decode_pair(held, task.missing_depth_value)
    return sample, Record(paths[0].name, paths[1].name, rgb.read_bytes(), depth.read_bytes())
