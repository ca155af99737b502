"""Reads pairs, cuts them to the view that training takes, and writes them, several at a time."""

import collections
import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from mai_depth.atomic import atomic_path
from mai_depth.data.convert.depth_file import DEEPEST_M
from mai_depth.data.convert.depth_file import clear_poor
from mai_depth.data.convert.depth_file import read_depth_m
from mai_depth.data.convert.formats import Format
from mai_depth.data.convert.picture import Picture
from mai_depth.data.convert.picture import read_rgb
from mai_depth.data.convert.picture import read_video
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.split import Task
from mai_depth.data.convert.staging import Staging
from mai_depth.data.convert.summary import MILLIMETRES
from mai_depth.data.convert.view import View
from mai_depth.data.convert.view import view_of
from mai_depth.data.pool import count_bad
from mai_depth.data.pool import map_ahead
from mai_depth.depth import read_depth_units
from mai_depth.depth import write_depth
from mai_depth.errors import UserError

_JPEG_QUALITY = 95
_JPEG_SUFFIXES = (".jpg", ".jpeg")
_THREADS = 8  # they wait for the disk more than for a core
_AHEAD = 2 * _THREADS  # frames of a video are up to 8 MB
_NAMED = 5


class _Pair(NamedTuple):
    """What became of one pair: its picture's name, depth counts; or a fault."""

    task: Task
    picture: str = ""
    counts: np.ndarray | None = None
    deeper: int = 0
    fault: UserError | None = None


@dataclasses.dataclass
class Outcome:
    """What became of all pairs.

    Attributes:
        done: Those that were written, with the names of their pictures, in order.
        counts: [65536], how many pixels have each depth in millimetres; the first is missing.
        deeper: Pixels that are deeper than the files can hold.
        without_depth: Names of pairs without any valid pixel.
        unseen: Names of depth maps beyond the end of their video.
        broken: The faults of pairs that were skipped.
    """

    done: list[tuple[Task, str]] = dataclasses.field(default_factory=list)
    counts: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(MILLIMETRES, np.int64))
    deeper: int = 0
    without_depth: list[str] = dataclasses.field(default_factory=list)
    unseen: list[str] = dataclasses.field(default_factory=list)
    broken: list[str] = dataclasses.field(default_factory=list)

    @property
    def left_out(self) -> list[str]:
        """A line for each pair that was left out."""
        return [*self.broken, *(f"{name}: no pixel has depth" for name in self.without_depth),
                *(f"{name}: beyond the end of the video" for name in self.unseen)]

    def lines(self) -> Iterator[str]:
        """Yields the lines of the report."""
        if self.left_out:
            shown = "; ".join(self.left_out[:_NAMED])
            more = "; ..." if len(self.left_out) > _NAMED else ""
            noun = "pair" if len(self.left_out) == 1 else "pairs"
            yield f"left out: {len(self.left_out)} {noun} ({shown}{more})"
        if self.deeper:
            yield (f"{self.deeper} pixels are deeper than {DEEPEST_M:g} m, the most that 16 bits "
                   "in millimetres hold; they count as missing")

    def add(self, pair: _Pair) -> None:
        """Counts a pair that could be read."""
        assert pair.counts is not None
        self.deeper += pair.deeper
        if not pair.counts[1:].any():
            self.without_depth.append(pair.task.name)
            return
        self.counts += pair.counts
        self.done.append((pair.task, pair.picture))


def write_pairs(
    sequences: list[Sequence], tasks: list[Task], staging: Staging, layout: Format,
    units_per_m: float | None, on_bad_sample: str,
) -> Outcome:
    """Writes the pairs that are not there yet.

    Args:
        sequences: Where the pairs come from.
        tasks: The pairs.
        staging: Where they go.
        layout: Their layout, which decides which quality is good enough.
        units_per_m: Depth file units per metre, see `read_depth_m`.
        on_bad_sample: `fail` or `skip`, see `count_bad`.

    Returns:
        What became of them.

    Raises:
        UserError: A pair is broken, or too many are.
    """
    outcome = Outcome()
    writer = _Writer(staging, layout, units_per_m)
    quiet = not sys.stderr.isatty()
    bar = tqdm(total=len(tasks), desc="converting", unit=" pairs", leave=False,
               delay=2 if quiet else 0, mininterval=5 if quiet else 0.1)
    with ThreadPoolExecutor(_THREADS) as pool, bar:
        work = _pictures(sequences, tasks, writer, outcome)
        for pair in map_ahead(pool, lambda item: writer(*item), work, _AHEAD):
            if pair.fault:
                count_bad(len(outcome.broken), pair.fault, len(tasks), on_bad_sample, "input")
                outcome.broken.append(str(pair.fault))
            else:
                outcome.add(pair)
            bar.update()
    return outcome


def _pictures(
    sequences: list[Sequence], tasks: list[Task], writer: "_Writer", outcome: Outcome
) -> Iterator[tuple[Task, Image.Image | None]]:
    """Yields the pairs, those of a video with their frames, because a video is read in order."""
    grouped: dict[int, list[Task]] = collections.defaultdict(list)
    for task in tasks:
        grouped[task.sequence].append(task)
    for index, group in grouped.items():
        video = sequences[index].video
        if video is None or all(writer.finished(task) for task in group):
            yield from ((task, None) for task in group)
            continue
        waiting = {task.frame.picture: task for task in group}
        for number, frame in enumerate(read_video(video)):
            if number in waiting:
                yield waiting.pop(number), frame
            if not waiting:
                break
        if len(waiting) == len(group):
            raise UserError(f"{video}: no frame can be read; convert it to H.264, or write its "
                            "frames to rgb/000000.png, rgb/000001.png and so on")
        outcome.unseen += [task.name for task in waiting.values()]


class _Writer:
    """Turns one pair into two files; called by several threads."""

    def __init__(self, staging: Staging, layout: Format, units_per_m: float | None):
        self._staging, self._layout, self._units_per_m = staging, layout, units_per_m

    def __call__(self, task: Task, frame: Image.Image | None) -> _Pair:
        try:
            if self.finished(task):
                units = read_depth_units(self._depth_path(task))
                return _Pair(task, self._picture_path(task).name, _count(units))
            return self._convert(task, frame)
        except UserError as error:
            return _Pair(task, fault=error)

    def finished(self, task: Task) -> bool:
        """Whether both files are there and newer than what they come from."""
        try:
            written = min(path.stat().st_mtime_ns
                          for path in (self._picture_path(task), self._depth_path(task)))
            return all(path.stat().st_mtime_ns <= written for path in task.frame[1:]
                       if isinstance(path, pathlib.Path))
        except OSError:
            return False

    def _convert(self, task: Task, frame: Image.Image | None) -> _Pair:
        depth_m = read_depth_m(task.frame.depth, self._units_per_m)
        if task.frame.quality and self._layout.least_quality:
            clear_poor(depth_m, task.frame.quality, self._layout.least_quality)
        picture = self._read_picture(task, frame, depth_m)
        view = _view(task, picture.rgb, depth_m)
        depth_m = view.crop_depth(depth_m)
        deeper = depth_m > DEEPEST_M
        depth_m = np.where(deeper, np.float32(0), depth_m)
        counts = _count(np.rint(depth_m * 1000).astype(np.uint16))
        if counts[1:].any():
            write_depth(self._depth_path(task), depth_m)
            self._write_picture(task, picture, view)
        return _Pair(task, self._picture_path(task).name, counts, int(np.count_nonzero(deeper)))

    def _read_picture(self, task: Task, frame: Image.Image | None, depth_m: np.ndarray) -> Picture:
        if frame is not None:
            return Picture(frame, is_as_stored=False)
        assert isinstance(task.frame.picture, pathlib.Path)
        return read_rgb(task.frame.picture, is_portrait=depth_m.shape[0] > depth_m.shape[1])

    def _write_picture(self, task: Task, picture: Picture, view: View) -> None:
        path, source = self._picture_path(task), task.frame.picture
        with atomic_path(path) as temporary:
            if path.suffix == ".png":
                view.crop_picture(picture.rgb).save(temporary, compress_level=1)
            elif isinstance(source, pathlib.Path) and picture.is_as_stored and view.is_whole:
                shutil.copyfile(source, temporary)  # encoding a JPEG again would make it worse
            else:
                view.crop_picture(picture.rgb).save(
                    temporary, quality=_JPEG_QUALITY, subsampling=0)

    def _depth_path(self, task: Task) -> pathlib.Path:
        return self._staging.path(task.split, "depth", f"{task.name}.png")

    def _picture_path(self, task: Task) -> pathlib.Path:
        source = task.frame.picture
        is_jpeg = isinstance(source, int) or source.suffix.lower() in _JPEG_SUFFIXES
        return self._staging.path(task.split, "rgb", f"{task.name}{'.jpg' if is_jpeg else '.png'}")


def _view(task: Task, rgb: Image.Image, depth_m: np.ndarray) -> View:
    height, width = depth_m.shape
    try:
        return view_of(rgb.size, (width, height))
    except UserError as error:
        source = task.frame.picture
        where = source if isinstance(source, pathlib.Path) else task.frame.depth
        raise UserError(f"{where}: {error}") from error


def _count(units: np.ndarray) -> np.ndarray:
    return np.bincount(units.reshape(-1), minlength=MILLIMETRES)
