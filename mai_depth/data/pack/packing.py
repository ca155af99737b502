"""Packs a folder: plans the shards by the sizes of the files, and writes them on all cores.

A shard is in its final place as soon as it is whole; `pack.json` names the splits at the end.
"""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import shutil
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from mai_depth.atomic import atomic_path
from mai_depth.atomic import remove_abandoned
from mai_depth.checksum import check_sha256
from mai_depth.checksum import file_sha256
from mai_depth.data.description import DATASET
from mai_depth.data.description import LABELS
from mai_depth.data.description import read_description
from mai_depth.data.folder import PairFiles
from mai_depth.data.folder import list_pairs
from mai_depth.data.pack.manifest import MANIFEST
from mai_depth.data.pack.manifest import SHARD_SUFFIX
from mai_depth.data.pack.manifest import Manifest
from mai_depth.data.pack.manifest import PackedSplit
from mai_depth.data.pack.manifest import Shard
from mai_depth.data.pack.manifest import read_manifest
from mai_depth.data.pack.manifest import write_manifest
from mai_depth.data.pack.shard import array_record
from mai_depth.data.pack.shard_writing import ShardResult
from mai_depth.data.pack.shard_writing import ShardTask
from mai_depth.data.pack.shard_writing import write_shard
from mai_depth.data.pool import count_bad
from mai_depth.data.processes import in_parallel
from mai_depth.depth import INVERSE_DEPTH_DIR
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.workdir import LOCK
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir
from mai_depth.workdir import require_space

SHARD_BYTES = 64 << 20  # at least; small enough that a small folder keeps all cores busy
_SHARDS = 512  # at most in a split, so that all of them can be open
_ROOM = 1.02  # of the files' size, for records and their index
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Options:
    """How to read the folder that is packed.

    Attributes:
        depth_units_per_m: Units of its depth files per metre, unless its `dataset.json` or
            `labels.json` says otherwise.
        missing_depth_value: Another code that means missing, besides 0 and 65535.
        allow_resize: Accept depth of another size than its picture, of the same aspect.
        on_bad_sample: `fail`, or `skip` to leave broken pairs out, up to 1 % of them.
    """

    depth_units_per_m: float = 1000.0
    missing_depth_value: int | None = None
    allow_resize: bool = False
    on_bad_sample: str = "fail"


def pack(
    source: pathlib.Path, output: pathlib.Path, options: Options,
    say: Callable[[str], None] = lambda line: None, workers: int | None = None,
) -> Manifest:
    """Packs all splits of a folder; what an earlier run has packed is not packed again.

    Args:
        source: A folder in MAI layout.
        output: The folder to fill. A complete one is verified; damaged shards are written again.
        options: How to read the pairs.
        say: Called with each line of the report.
        workers: Number of processes; all cores when None.

    Returns:
        The manifest.

    Raises:
        UserError: The input, a file in it or the output cannot be used.
        OSError: The disk is full.
    """
    array_record()
    _refuse(source, output)
    splits = {name: (kind, list_pairs(source / name, kind)) for name, kind in _splits(source)}
    units = read_description(source).units_per_m or options.depth_units_per_m
    plan = _plan(source, dataclasses.replace(options, depth_units_per_m=units), splits)
    make_workdir(output, "output")
    with locked(output, "output"):
        remove_abandoned(output)
        complete = _take_over(output, plan)
        tasks = {name: _tasks(output, name, pairs, plan) for name, (_, pairs) in splits.items()}
        if complete and not _remove_damaged(complete, say):
            say(f"{output}: already packed and undamaged")
            return complete
        write_manifest(Manifest(output, plan, {}))
        everything = [task for of_split in tasks.values() for task in of_split]
        _require_space(output, everything)
        results = _write(everything, options.on_bad_sample, workers)
        manifest = Manifest(output, plan, {
            name: _summed_up(kind, tasks[name], results) for name, (kind, _) in splits.items()})
        _copy_descriptions(source, output)
        write_manifest(manifest)
    for line in _lines(manifest, results):
        say(line)
    return manifest


def _refuse(source: pathlib.Path, output: pathlib.Path) -> None:
    if source.resolve() == output.resolve():
        raise UserError(f"--output={output}: this is the input; give another folder")
    if read_manifest(source):
        raise UserError(f"--input={source}: is already packed; copy it as it is")


def _splits(source: pathlib.Path) -> list[tuple[str, str]]:
    """The splits of a folder, each with the name of its depth folder."""
    found = []
    for folder in sorted(path for path in source.iterdir() if (path / "rgb").is_dir()):
        inverse = (folder / INVERSE_DEPTH_DIR).is_dir() and not (folder / "depth").is_dir()
        found.append((folder.name, INVERSE_DEPTH_DIR if inverse else "depth"))
    if not found:
        raise UserError(f"--input={source}: holds no SPLIT/rgb and SPLIT/depth; give a folder that "
                        "train.py reads")
    return found


def _plan(
    source: pathlib.Path, options: Options, splits: dict[str, tuple[str, list[PairFiles]]]
) -> dict[str, Any]:
    """All that the shards depend on and that is quick to know."""
    return {
        "input": os.path.realpath(source),
        "shard_bytes": SHARD_BYTES,
        **dataclasses.asdict(options),
        "files": {name: _listing_digest(kind, pairs) for name, (kind, pairs) in splits.items()},
    }


def _listing_digest(kind: str, pairs: Sequence[PairFiles]) -> str:
    digest = hashlib.sha256(kind.encode())
    for pair in pairs:
        stamp = (pair.name, pair.rgb[1:], pair.depth[1:])
        digest.update(repr(stamp).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _take_over(output: pathlib.Path, plan: dict[str, Any]) -> Manifest | None:
    """The manifest if the same packing was completed, else None; refuses a folder of others."""
    try:
        before = read_json(output / MANIFEST)["plan"]
    except FileNotFoundError:
        if any(path.name != LOCK for path in output.iterdir()):
            raise UserError(f"--output={output}: holds other files; remove it or give another "
                            "folder") from None
        return None
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"{output / MANIFEST}: damaged ({error}); remove {output} and pack again"
                        ) from error
    if {**before, "files": 0} != {**plan, "files": 0}:
        raise UserError(f"--output={output}: holds another packing; remove it or give another "
                        "folder")
    if before["files"] != plan["files"]:
        raise UserError(f"--output={output}: was begun before files in {plan['input']} changed; "
                        "remove it or give another folder")
    try:
        return read_manifest(output)
    except UserError:  # not finished
        return None


def _remove_damaged(manifest: Manifest, say: Callable[[str], None]) -> int:
    """Verifies the checksums of a complete folder; marks damaged shards to be written again."""
    shards = [shard for split in manifest.splits.values() for shard in split.shards]

    def is_whole(shard: Shard) -> bool:
        try:
            check_sha256(manifest.folder / shard.name, shard.sha256, "")
        except UserError:
            return False
        return (manifest.folder / shard.index).exists()

    with ThreadPoolExecutor() as pool:
        whole = list(tqdm(pool.map(is_whole, shards), "verifying", len(shards), unit=" shards",
                          leave=False, delay=2))
    damaged = [shard for shard, good in zip(shards, whole, strict=True) if not good]
    for shard in damaged:
        say(f"{manifest.folder / shard.name}: missing or damaged; it is packed again")
        (manifest.folder / shard.index).unlink(missing_ok=True)
    return len(damaged)


def _tasks(
    output: pathlib.Path, split: str, pairs: Sequence[PairFiles], plan: dict[str, Any]
) -> list[ShardTask]:
    """Divides the pairs into shards, by nothing but the sizes of their files."""
    sizes = np.array([pair.rgb.size + pair.depth.size for pair in pairs], np.int64)
    shard_bytes = max(plan["shard_bytes"], -(-int(sizes.sum()) // _SHARDS))
    number_of = (np.cumsum(sizes) - sizes) // shard_bytes
    starts = [0, *(np.flatnonzero(np.diff(number_of)) + 1).tolist(), len(pairs)]
    keys = ("missing_depth_value", "allow_resize", "on_bad_sample")
    return [
        ShardTask(output / f"{split}-{number:05d}{SHARD_SUFFIX}",
                  pairs[start:end], plan["depth_units_per_m"], *(plan[key] for key in keys))
        for number, (start, end) in enumerate(itertools.pairwise(starts))]


def _require_space(output: pathlib.Path, tasks: Sequence[ShardTask]) -> None:
    needed = sum(pair.rgb.size + pair.depth.size
                 for task in tasks if not task.is_done for pair in task.pairs)
    require_space(output, int(needed * _ROOM), "the packed pairs", "output")


def _write(
    tasks: Sequence[ShardTask], on_bad_sample: str, workers: int | None
) -> dict[pathlib.Path, ShardResult]:
    results, bad = {}, 0
    total = sum(len(task.pairs) for task in tasks)
    quiet = not sys.stderr.isatty()
    with tqdm(total=total, desc="packing", unit=" pairs", leave=False, delay=2 if quiet else 0,
              mininterval=5 if quiet else 0.1) as bar:
        for task, result in zip(tasks, in_parallel(write_shard, tasks, workers), strict=True):
            for line in result.broken:
                bad = count_bad(bad, UserError(line), total, on_bad_sample, "input")
            results[task.path] = result
            bar.update(result.asked)
    return results


def _summed_up(
    kind: str, tasks: Sequence[ShardTask], results: dict[pathlib.Path, ShardResult]
) -> PackedSplit:
    """Sums up what the shards of a split hold."""
    fingerprint = hashlib.sha256(repr(float(tasks[0].units_per_m)).encode())
    cleared, shards = np.zeros(2, np.int64), []
    for task in tasks:
        rows = np.load(task.rows_path)
        for row in rows:  # as `cache` computes it for the same pairs
            digest = row["digest"][: row["digest_bytes"]].tobytes()
            fingerprint.update(row["name"] + b"\0" + digest)
        cleared += rows["cleared"].sum(), np.count_nonzero(rows["cleared"])
        if len(rows):
            shards.append(Shard(task.path.name, len(rows), task.path.stat().st_size,
                                file_sha256(task.path)))
    if not shards:
        lines = [line for task in tasks
                 for line in (*results[task.path].without_depth, *results[task.path].broken)]
        raise UserError(f"no usable pair; the first fault is {lines[0]}; check --input and "
                        "--depth_units_per_m")
    first = tasks[0]
    return PackedSplit(
        kind, first.units_per_m, first.missing_depth_value, first.allow_resize,
        fingerprint.hexdigest(), int(cleared[0]), int(cleared[1]),
        sum(len(task.pairs) for task in tasks) - sum(shard.pairs for shard in shards),
        tuple(shards))


def _copy_descriptions(source: pathlib.Path, output: pathlib.Path) -> None:
    for name in (DATASET, LABELS):
        if (source / name).is_file():
            with atomic_path(output / name) as temporary:
                shutil.copyfile(source / name, temporary)


def _lines(
    manifest: Manifest, results: dict[pathlib.Path, ShardResult]
) -> Iterator[str]:
    left_out = [line for result in results.values()
                for line in (*result.broken, *result.without_depth)]
    if left_out:
        shown = "; ".join(left_out[:_NAMED]) + ("; ..." if len(left_out) > _NAMED else "")
        yield f"left out: {len(left_out)} {'pair' if len(left_out) == 1 else 'pairs'} ({shown})"
    for name, split in manifest.splits.items():
        size = sum(file.bytes for file in split.shards)
        yield (f"{manifest.folder}: {name}, {split.pairs} pairs in {len(split.shards)} "
               f"{'shard' if len(split.shards) == 1 else 'shards'}, {size / 1e6:.1f} MB")
    yield f"train with --data_dir={manifest.folder}"
