"""TUM RGB-D: pictures and depth that each have time stamps, listed in two files.

The layout is that of Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS
2012: each line of `rgb.txt` and `depth.txt` is `seconds path`, and 5000 is one metre.
"""

import bisect
import pathlib

from mai_depth.data.convert.intrinsics import find_intrinsics
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.sequence import sequence_name
from mai_depth.data.convert.tree import Tree
from mai_depth.errors import UserError

MOST_APART_S = 0.02  # as in the benchmark's own associate.py
_FOCAL_PX = {"freiburg1": 517.3, "freiburg2": 520.9, "freiburg3": 535.4}  # of its 640x480 cameras


def find_recordings(tree: Tree) -> list[Sequence]:
    """Finds the folders that hold both lists.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each folder.

    Raises:
        UserError: A list cannot be read.
    """
    return [_recording(tree, folder) for folder, names in tree.folders.items()
            if "rgb.txt" in names and "depth.txt" in names]


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
    place = tree.root / folder
    camera = find_intrinsics(place, tree.root) or _known(place)
    return Sequence(sequence_name(folder), frames, camera, alone=alone)


def _read_list(path: pathlib.Path) -> list[tuple[float, pathlib.Path]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.replace(",", " ").split() for line in lines
                if line.strip() and not line.startswith("#")]
        return sorted((float(row[0]), path.parent / row[1]) for row in rows)
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not a list of time stamps and files ({error}); fix it"
                        ) from error


def _known(place: pathlib.Path) -> Intrinsics | None:
    """The benchmark's own cameras, recognised by the folder's name."""
    for name, focal_px in _FOCAL_PX.items():
        if name in place.name:
            return Intrinsics(focal_px, 640)
    return None
