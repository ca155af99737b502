"""TUM RGB-D: pictures and depth that each have time stamps, listed in two files.

The layout is that of Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS
2012: each line of `rgb.txt` and `depth.txt` is `seconds path`, and 5000 is one metre.
Others, such as ICL-NUIM and ORB-SLAM, have one list of pairs: `seconds path seconds path`, with
either first.
"""

import bisect
import pathlib
from typing import Any

from mai_depth.data.convert.intrinsics import find_intrinsics
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.sequence import sequence_name
from mai_depth.data.convert.tree import Tree
from mai_depth.errors import UserError

MOST_APART_S = 0.02  # as in the benchmark's own associate.py
_PAIR_LISTS = ("associations.txt", "associated.txt", "associate.txt", "assoc.txt")
_FOCAL_PX = {  # of 640x480 cameras
    "freiburg1": 517.3, "freiburg2": 520.9, "freiburg3": 535.4,
    "frei_png": 481.2,  # ICL-NUIM
}


def find_recordings(tree: Tree) -> list[Sequence]:
    """Finds the folders that hold both lists, or one of pairs.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each folder.

    Raises:
        UserError: A list cannot be read.
    """
    recordings = []
    for folder, names in tree.folders.items():
        pair_list = next((name for name in _PAIR_LISTS if name in names), None)
        if "rgb.txt" in names and "depth.txt" in names:
            recordings.append(_recording(tree, folder))
        elif pair_list:
            recordings.append(_paired_recording(tree, folder, pair_list))
    return recordings


def associate(first: list[float], second: list[float], most_apart: float) -> list[tuple[int, int]]:
    """Pairs time stamps, the nearest first, each once.

    Args:
        first: Seconds, rising.
        second: Seconds, rising.
        most_apart: Greatest difference within a pair, seconds.

    Returns:
        Positions in both, rising.
    """
    near = []
    for i, stamp in enumerate(first):
        start = bisect.bisect_left(second, stamp - most_apart)
        stop = bisect.bisect_right(second, stamp + most_apart)
        near += [(abs(second[j] - stamp), i, j) for j in range(start, stop)]
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(near):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return sorted(pairs.items())


def _recording(tree: Tree, folder: pathlib.PurePath) -> Sequence:
    pictures, depths = (_read_list(tree.path(folder, name)) for name in ("rgb.txt", "depth.txt"))
    pairs = associate([stamp for stamp, _ in pictures], [stamp for stamp, _ in depths],
                      MOST_APART_S)
    frames = tuple(Frame(pictures[i][1].stem, pictures[i][1], depths[j][1]) for i, j in pairs)
    paired = {i for i, _ in pairs}
    alone = tuple(path.stem for i, (_, path) in enumerate(pictures) if i not in paired)
    return Sequence(sequence_name(folder), frames, _camera(tree, folder), alone=alone)


def _paired_recording(tree: Tree, folder: pathlib.PurePath, name: str) -> Sequence:
    path = tree.path(folder, name)
    pairs = {}  # a picture that is listed twice counts once
    for _, picture, _, depth in _rows(path, 4):
        if "depth" in picture and "depth" not in depth:
            picture, depth = depth, picture
        pairs[picture] = depth
    frames = tuple(Frame(pathlib.PurePath(picture).stem, path.parent / picture, path.parent / depth)
                   for picture, depth in pairs.items())
    return Sequence(sequence_name(folder), frames, _camera(tree, folder))


def _read_list(path: pathlib.Path) -> list[tuple[float, pathlib.Path]]:
    return sorted((stamp, path.parent / name) for stamp, name in _rows(path, 2))


def _rows(path: pathlib.Path, columns: int) -> list[tuple[Any, ...]]:
    """The first columns of a list, the very first as a number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.replace(",", " ").split() for line in lines
                if line.strip() and not line.startswith("#")]
        return [(float(row[0]), *(row[column] for column in range(1, columns))) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not a list of time stamps and files ({error}); fix it"
                        ) from error


def _camera(tree: Tree, folder: pathlib.PurePath) -> Intrinsics | None:
    place = tree.root / folder
    return find_intrinsics(place, tree.root) or _known(place)


def _known(place: pathlib.Path) -> Intrinsics | None:
    """The cameras of TUM RGB-D and ICL-NUIM, recognised by the folder's name."""
    for name, focal_px in _FOCAL_PX.items():
        if name in place.name:
            return Intrinsics(focal_px, 640)
    return None
