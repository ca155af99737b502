"""Converts a folder in any layout of the table to the one that training reads."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from mai_depth.data.convert.formats import AUTO
from mai_depth.data.convert.formats import Format
from mai_depth.data.convert.formats import other_layouts
from mai_depth.data.convert.formats import recognise
from mai_depth.data.convert.picture import picture_size
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.split import SPLITS
from mai_depth.data.convert.split import Plan
from mai_depth.data.convert.split import Task
from mai_depth.data.convert.split import plan
from mai_depth.data.convert.staging import SHEET
from mai_depth.data.convert.staging import Staging
from mai_depth.data.convert.summary import SHEET_PAIRS
from mai_depth.data.convert.summary import depth_at
from mai_depth.data.convert.summary import draw_sheet
from mai_depth.data.convert.summary import histogram
from mai_depth.data.convert.summary import max_depth_m
from mai_depth.data.convert.tree import scan
from mai_depth.data.convert.view import View
from mai_depth.data.convert.view import view_of
from mai_depth.data.convert.writing import Outcome
from mai_depth.data.convert.writing import write_pairs
from mai_depth.depth import read_depth
from mai_depth.errors import UserError
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir
from mai_depth.workdir import require_space

VERSION = 1  # raise it when the same input gives other files

_BYTES_PER_PAIR = 500_000
_FOCAL_APART = 0.01  # sequences that differ by more are of other cameras, or zoomed
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user says about the input.

    Attributes:
        format: A name of the table of layouts, or `auto`.
        validation_share: Share of the pairs for validation, see `split.plan`.
        every: Take every Nth frame of a sequence.
        focal_length: That of the input's pictures, in picture widths; None for what the files say.
        depth_units_per_m: Units of the depth files per metre; None for those of the layout.
        on_bad_sample: `fail` or `skip`, as in training.
        license: The pictures' licence, in words; passed on, see `data.origin`.
        origin: Where they come from; passed on as well.
    """

    format: str = AUTO
    validation_share: float = 0.1
    every: int = 1
    focal_length: float | None = None
    depth_units_per_m: float | None = None
    on_bad_sample: str = "fail"
    license: str | None = None
    origin: str | None = None


def convert(
    source: pathlib.Path, output: pathlib.Path, options: Options,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Converts a folder; what a killed run has done is not done again.

    Args:
        source: Pictures and depth in a layout of the table.
        output: The folder for `SPLIT/rgb`, `SPLIT/depth`, `dataset.json` and `sheet.png`.
        options: What the user says about it.
        say: Called with each line of the report.

    Returns:
        The content of `dataset.json`.

    Raises:
        UserError: The input, a file in it or the output cannot be used.
    """
    if source.resolve() == output.resolve():
        raise UserError(f"--output={output}: this is the input; give another folder")
    tree = scan(source, leave_out=output)
    layout, sequences = recognise(tree, options.format)
    chosen = plan(sequences, options.validation_share, options.every)
    say(f"{source}: {layout.title}, {_count(len(chosen.tasks), 'pair')}; {chosen.line}")
    _tell_what_is_left_out(sequences, chosen, layout, say)
    for other, count in other_layouts(tree, layout, sequences):
        say(f"left out: {_count(count, 'pair')} in the layout of {other.title}; convert them with "
            f"--format={other.name} to another folder")
    make_workdir(output, "output")
    with locked(output, "output"):
        staging = Staging(output, _dependencies(source, layout, options))
        files = _fingerprint(chosen.tasks)
        record = staging.finished()
        if record:
            if record.get("files") != files:
                raise UserError(f"--output={output}: was made before files in {source} changed; "
                                "remove it or give another folder")
            say(f"{output}: already converted")
            return record
        require_space(output, len(chosen.tasks) * _BYTES_PER_PAIR, "the pairs", "output")
        staging.begin()
        outcome = write_pairs(sequences, chosen.tasks, staging, layout,
                              options.depth_units_per_m or layout.units_per_m,
                              options.on_bad_sample)
        return _complete(staging, outcome, sequences, layout, options, files, say)


def _complete(
    staging: Staging, outcome: Outcome, sequences: list[Sequence], layout: Format, options: Options,
    files: str, say: Callable[[str], None],
) -> dict[str, Any]:
    for line in outcome.lines():
        say(line)
    if not outcome.done:
        raise UserError("--input: no pair with depth is left; see above")
    cameras = _cameras(outcome, sequences, options.focal_length)
    for line in sorted({str(view) for view, _ in cameras.values() if not view.is_whole})[:_NAMED]:
        say(line)
    record = _record(outcome, cameras, layout)
    _draw(staging, outcome)
    staging.complete(
        {staging.path(task.split, kind, name) for task, picture in outcome.done
         for kind, name in (("rgb", picture), ("depth", f"{task.name}.png"))},
        {**record, "files": files, "license": options.license, "origin": options.origin})
    say(_unit_line(outcome, layout, options.depth_units_per_m))
    say(histogram(outcome.counts))
    say(_last_line(staging.output, record))
    return record


def _unit_line(outcome: Outcome, layout: Format, units_per_m: float | None) -> str:
    """For what no program can tell: 16 bits in another unit are a plausible, wrong depth."""
    read_as = f"{units_per_m:g} = 1 m" if units_per_m else layout.depth
    return (f"read as {read_as}: half of the depth is nearer than "
            f"{depth_at(outcome.counts, 0.5):.2f} m; if that is wrong, give --depth_units_per_m")


def _record(
    outcome: Outcome, cameras: dict[str, tuple[View, float | None]], layout: Format
) -> dict[str, Any]:
    per_split = {split: sum(task.split == split for task, _ in outcome.done) for split in SPLITS}
    focal_lengths = {name: view.focal_length(focal * view.picture_width) if focal else None
                     for name, (view, focal) in cameras.items()}
    known = [focal for focal in focal_lengths.values() if focal]
    middle = float(np.median(known)) if len(known) == len(focal_lengths) else None
    if middle and any(abs(focal / middle - 1) > _FOCAL_APART for focal in known):
        middle = None
    counts = outcome.counts
    return {
        "kind": "metric",
        "unit": "mm",
        "max_depth_m": max_depth_m(counts),
        "focal_length": middle and round(middle, 4),
        "format": layout.name,
        "pairs": per_split,
        "missing_share": round(float(counts[0] / counts.sum()), 4),
        "focal_lengths": {name: focal and round(focal, 4) for name, focal in focal_lengths.items()},
        "left_out": outcome.left_out,
    }


def _cameras(
    outcome: Outcome, sequences: list[Sequence], given: float | None
) -> dict[str, tuple[View, float | None]]:
    """The view and the focal length, in widths of the whole picture, of each sequence."""
    found: dict[str, tuple[View, float | None]] = {}
    for index in sorted({task.sequence for task, _ in outcome.done}):
        sequence = sequences[index]
        size, camera = picture_size(sequence), sequence.intrinsics
        focal = given or (camera.in_widths(size[0]) if camera else None)
        found[sequence.name or "."] = view_of(size, size), focal
    return found


def _draw(staging: Staging, outcome: Outcome) -> None:
    positions = np.unique(np.linspace(0, len(outcome.done) - 1, SHEET_PAIRS).astype(int))
    pairs = []
    for task, picture in (outcome.done[position] for position in positions):
        with Image.open(staging.path(task.split, "rgb", picture)) as image:
            rgb = np.asarray(image.convert("RGB"))
        depth = read_depth(staging.path(task.split, "depth", f"{task.name}.png"))
        pairs.append((task.name, rgb, depth))
    draw_sheet(staging.output / SHEET, pairs)


def _tell_what_is_left_out(
    sequences: list[Sequence], chosen: Plan, layout: Format, say: Callable[[str], None]
) -> None:
    alone = [name for sequence in sequences for name in sequence.alone]
    if alone:
        shown = ", ".join(alone[:_NAMED]) + (", ..." if len(alone) > _NAMED else "")
        say(f"left out: {_count(len(alone), 'file')} without a partner ({shown})")
    if chosen.gap:
        say(f"left out: {_count(chosen.gap, 'pair')} between training and validation")
    if layout.note:
        say(f"note: {layout.note}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _dependencies(source: pathlib.Path, layout: Format, options: Options) -> dict[str, Any]:
    return {
        "version": VERSION,
        "source": os.path.realpath(source),
        "format": layout.name,
        "validation_share": options.validation_share,
        "every": options.every,
        "focal_length": options.focal_length,
        "depth_units_per_m": options.depth_units_per_m,
    }


def _fingerprint(tasks: list[Task]) -> str:
    """Digests the files' names, sizes and times, so that a change shows without reading them."""
    digest = hashlib.sha256()
    for task in tasks:
        stamps = [_stamp(path) for path in task.frame[1:] if isinstance(path, pathlib.Path)]
        digest.update(repr((task.split, task.name, stamps)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _stamp(path: pathlib.Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:  # reported when it is read
        return path.name, -1, -1
    return path.name, status.st_size, status.st_mtime_ns


def _last_line(output: pathlib.Path, record: dict[str, Any]) -> str:
    pairs, focal = record["pairs"], record["focal_length"]
    for_training = _count(pairs["train"], "pair")
    known = f"focal length {focal:g} picture widths" if focal else "focal length unknown"
    return (
        f"{output}: {for_training} for training, {pairs['validation']} for validation; "
        f"{100 * record['missing_share']:.1f} % of the depth is missing; {known}. Look at "
        f"{output / SHEET}, then train with --data_dir={output} "
        f"--max_depth_m={record['max_depth_m']:g}")
