"""The training folder that labelling writes, pair by pair, so that it can be continued."""

import contextlib
import datetime
import os
import pathlib
import shutil
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mai_depth.atomic import atomic_path
from mai_depth.atomic import remove_abandoned
from mai_depth.atomic import write_json_atomic
from mai_depth.depth import INVERSE_DEPTH_DIR
from mai_depth.depth import MAX_UNITS
from mai_depth.depth import write_depth
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

LABELS = "labels.json"

_UNITS_PER_M = 1000.0
_FARTHEST_M = MAX_UNITS / _UNITS_PER_M
_RELATIVE_CODES = (1000, 65000)  # of inverse depth 0 and 1; 0 and 65535 mean missing
_QUALITY = 95


class LabelledFolder:
    """`FOLDER/train/{rgb,depth}`, and `FOLDER/labels.json`, which says where the depth comes from.

    Without a metric teacher `inverse_depth` takes the place of `depth`. A pair's depth is written
    last: if it is there, the pair is complete.

    Args:
        folder: An existing folder that no other process writes to.
        source: The absolute path of the `--input`.
        teachers: `Teacher.describe()` of each.
        told: `license` and `origin` of the pictures, as far as the user gave them.

    Raises:
        UserError: The folder was labelled from other pictures or by other teachers.
    """

    def __init__(self, folder: pathlib.Path, source: str, teachers: list[dict[str, Any]],
                 told: Mapping[str, str] | None = None):
        self.is_metric = any(teacher["kind"] == "metric" for teacher in teachers)
        self.path = folder
        self.rgb = folder / "train" / "rgb"
        self.depth = folder / "train" / ("depth" if self.is_metric else INVERSE_DEPTH_DIR)
        self._labels = {
            "input": source, "teachers": teachers,
            "asked": "plain and mirrored",
            "kind": "depth" if self.is_metric else "inverse depth",
            "unit": "mm" if self.is_metric else "none: of another scale and shift in each picture",
            "date": datetime.date.today().isoformat(),
            **(told or {}),
        }
        self._take_over()
        remove_abandoned(folder)
        write_json_atomic(folder / LABELS, self._labels)  # first: it says whose folder this is
        for pictures in (self.rgb, self.depth):
            pictures.mkdir(parents=True, exist_ok=True)
            remove_abandoned(pictures)

    def _take_over(self) -> None:
        """Continues the labels of the same run and keeps its date."""
        path = self.path / LABELS
        try:
            before = read_json(path)
        except FileNotFoundError:
            if (self.path / "train").exists():
                raise UserError(f"{self.path}: has a folder train, but no {LABELS} of this command;"
                                " give another --output") from None
            return
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: broken ({error}); give another --output") from error
        for key, what in (("input", "--input"), ("teachers", "teachers")):
            if before.get(key) != self._labels[key]:
                raise UserError(f"{self.path}: was labelled with {what} {_short(before.get(key))}, "
                                f"not {_short(self._labels[key])}; give the same to continue, or "
                                "another --output")
        kept = {key: before[key] for key in ("license", "origin") if key in before}
        self._labels = {**kept, **self._labels, "date": before.get("date", self._labels["date"])}

    def has(self, name: str) -> bool:
        """Whether the pair of that name is complete."""
        return self._depth_path(name).exists()

    def add(self, name: str, view: Image.Image, answer: np.ndarray,
            original: pathlib.Path | None = None) -> None:
        """Writes a pair.

        Args:
            name: Name of both files, without a suffix.
            view: RGB, of the same size as the answer.
            answer: float32 [height, width] in metres, or inverse depth from 0 to 1.
            original: A file with the same pixels to link to; None writes a JPEG.
        """
        if original is None:
            with atomic_path(self.rgb / f"{name}.jpg") as temporary:
                view.save(temporary, format="JPEG", quality=_QUALITY, subsampling=0)
        else:
            _link(original, self.rgb / f"{name}{_suffix(original)}")
        if self.is_metric:
            depth = np.minimum(answer, _FARTHEST_M)
        else:
            low, high = _RELATIVE_CODES
            depth = (low + (high - low) * answer) / _UNITS_PER_M
        write_depth(self._depth_path(name), depth, _UNITS_PER_M)

    def pairs(self) -> list[tuple[pathlib.Path, pathlib.Path]]:
        """Returns (picture, depth) of all complete pairs, sorted by name."""
        rgb = {path.stem: path for path in self.rgb.iterdir() if not path.name.startswith(".")}
        depths = [path for path in self.depth.iterdir() if not path.name.startswith(".")]
        return [(rgb[path.stem], path) for path in sorted(depths) if path.stem in rgb]

    def finish(self, skipped: int) -> int:
        """Writes the numbers of pairs and of skipped pictures to `labels.json`.

        Args:
            skipped: Number of pictures skipped in this run.

        Returns:
            The number of pairs.
        """
        count = len(self.pairs())
        write_json_atomic(
            self.path / LABELS, {**self._labels, "pictures": count, "skipped": skipped})
        return count

    def _depth_path(self, name: str) -> pathlib.Path:
        return self.depth / f"{name}.png"


def flat_names(stems: Iterable[pathlib.PurePath]) -> list[str]:
    """Turns paths into file names for one folder: `phone/2026/a` becomes `phone__2026__a`.

    Args:
        stems: Relative paths without a suffix.

    Returns:
        A name for each.

    Raises:
        UserError: Two names would be the same.
    """
    taken: dict[str, pathlib.PurePath] = {}
    for stem in stems:
        name = "__".join(stem.parts).lstrip(".")  # a hidden file would not be read
        if taken.setdefault(name, stem) is not stem:
            raise UserError(f"{stem} and {taken[name]} would both be called {name}; rename one")
    return list(taken)


def _suffix(path: pathlib.Path) -> str:
    """The suffix of a file's real format: training trusts the suffix."""
    with Image.open(path) as image:
        return ".png" if image.format == "PNG" else ".jpg"


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Links a picture, or copies it if it is on another file system or of another owner."""
    with contextlib.suppress(OSError):
        target.unlink(missing_ok=True)  # of a pair that was never completed
        os.link(source.resolve(), target)
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(f"{one['name']} ({one['sha256'][:8]})" for one in value)
    return str(value)
