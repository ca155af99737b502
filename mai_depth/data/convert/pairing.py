"""Pairs of picture and depth that are recognised by their names.

A word in a name says what the file is: `rgb/0001.jpg` and `depth/0001.png`, `0001_color.png` and
`0001_depth.png`, `frame-000001.color.png`, `scene.png` and `scene_depth.npy`. Without the word, the
names of the two are the same.
"""

import functools
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

from mai_depth.data.convert.intrinsics import find_intrinsics
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.tree import Tree
from mai_depth.errors import UserError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".heic", ".ppm", ".webp")
DEPTH_SUFFIXES = (".npy", ".npz", ".tif", ".tiff", ".png", ".exr")

_DEPTH = r"aligned_depth_to_colou?r|depth_?maps?|depths?"
_PICTURE = r"rgbs?|colou?rs?|images?|imgs?|photos?|pictures?"
_OTHER = (r"masks?|confidence|normals?|labels?|instances?|semantics?|segmentation|infrared|ir|"
          r"disparity|disp")
_WORDS = {  # the first that is found says what a file is
    role: re.compile(rf"(?<![a-z])({words})(?![a-z])")
    for role, words in (("other", _OTHER), ("depth", _DEPTH), ("picture", _PICTURE))
}
_FOLDER = {  # names of folders for one kind of file
    role: re.compile(rf"(({words}|raw|png|jpg|left|data|frames?|filtered|metric)([_ -]|$))+")
    for role, words in (("other", _OTHER), ("depth", _DEPTH), ("picture", _PICTURE))
}
_SEPARATORS = re.compile(r"[._\- ]+$|^[._\- ]+")


class Candidate(NamedTuple):
    """A picture and its depth files, relative to the root.

    Attributes:
        sequence: Folder without the words.
        name: File name without the word and the suffix.
        picture: The picture; None if there is only depth.
        depth: Suffix -> file.
        mask: The file with the depth file's name and `_mask`, or None.
    """

    sequence: str
    name: str
    picture: pathlib.PurePath | None
    depth: dict[str, pathlib.PurePath]
    mask: pathlib.PurePath | None


class Role(NamedTuple):
    """What a file's name says; `kind` is picture, depth or other."""

    kind: str
    sequence: str
    name: str


def find_pairs(
    tree: Tree,
    *,
    suffixes: tuple[str, ...],
    accepts: Callable[[Candidate, pathlib.PurePath], bool] = lambda candidate, depth: True,
    known: Intrinsics | None = None,
) -> list[Sequence]:
    """Finds the pairs of one layout.

    Args:
        tree: Where to look.
        suffixes: The depth files' suffixes.
        accepts: Decides on each candidate and its depth file.
        known: The camera if no file gives it.

    Returns:
        The sequences, in natural order.
    """
    found: dict[str, list[Frame]] = {}
    for candidate in candidates(tree):
        depth = next((candidate.depth[suffix] for suffix in suffixes if suffix in candidate.depth),
                     None)
        if depth is None or not accepts(candidate, depth):
            continue
        picture = candidate.picture or depth
        if candidate.picture or depth.suffix.lower() == ".npz":  # which may hold both
            found.setdefault(candidate.sequence, []).append(Frame(
                candidate.name, tree.root / picture, tree.root / depth,
                tree.root / candidate.mask if candidate.mask else None))
    return [
        Sequence(name, tuple(frames), find_intrinsics(tree.root / name, tree.root) or known,
                 alone=tuple(sorted({*_alone(tree).get(name, ())}
                                    - {frame.name for frame in frames})))
        for name, frames in found.items()
    ]


@functools.lru_cache(maxsize=1)  # every layout asks for the same tree
def candidates(tree: Tree) -> list[Candidate]:
    """Sorts the files of a tree by their names.

    Args:
        tree: Where to look.

    Returns:
        Whatever has a picture or depth, in natural order.

    Raises:
        UserError: Two pictures have the same name.
    """
    found: dict[tuple[str, str], Candidate] = {}
    masks: dict[pathlib.PurePath, pathlib.PurePath] = {}
    for folder, names in tree.folders.items():
        for file_name in names:
            path = folder / file_name
            role = read_role(path)
            if role.kind == "other":
                masks[path.with_suffix("")] = path
                continue
            key = (role.sequence, role.name)
            entry = found.setdefault(key, Candidate(*key, None, {}, None))
            if role.kind == "depth":
                entry.depth.setdefault(path.suffix.lower(), path)
            elif role.kind == "picture":
                if entry.picture:
                    raise UserError(f"{tree.root / path} and {tree.root / entry.picture} could "
                                    "both be the picture; move one of them elsewhere")
                found[key] = entry._replace(picture=path)
    return [
        entry._replace(mask=_mask(entry, masks)) for entry in found.values()
        if entry.picture or entry.depth
    ]


def _mask(
    entry: Candidate, masks: dict[pathlib.PurePath, pathlib.PurePath]
) -> pathlib.PurePath | None:
    for depth in entry.depth.values():
        mask = masks.get(depth.with_name(f"{depth.stem}_mask"))
        if mask:
            return mask
    return None


@functools.lru_cache(maxsize=1)
def _alone(tree: Tree) -> dict[str, list[str]]:
    """The names without a partner, for each sequence."""
    alone: dict[str, list[str]] = {}
    for entry in candidates(tree):
        if not (entry.picture and entry.depth):
            alone.setdefault(entry.sequence, []).append(entry.name)
    return alone


def read_role(path: pathlib.PurePath) -> Role:
    """Reads from a path what the file is and what it belongs to.

    Args:
        path: Relative to the root.

    Returns:
        Its kind (`other` for what is neither picture nor depth), sequence and name.
    """
    suffix = path.suffix.lower()
    parts, kind = [], None
    for part in path.parts[:-1]:
        role = _folder_role(part.lower())
        kind = role or kind
        parts += [] if role else [part]
    stem, word = _without_word(path.name[: len(path.name) - len(suffix)])
    if (kind, word) != ("depth", "picture"):  # depth/IMG_0001.png: cameras call everything so
        kind = word or kind
    if not stem and parts:  # 0001/rgb.png
        stem = parts.pop()
    sequence = "/".join(parts)
    if kind == "other":
        return Role("other", sequence, stem)
    if suffix in DEPTH_SUFFIXES and (suffix != ".png" or kind == "depth"):
        return Role("depth", sequence, stem)
    is_picture = suffix in PICTURE_SUFFIXES and kind != "depth"
    return Role("picture" if is_picture else "other", sequence, stem)


def _folder_role(name: str) -> str | None:
    for role, pattern in _FOLDER.items():
        if pattern.fullmatch(name) and _WORDS[role].search(name):
            return role
    return None


def _without_word(stem: str) -> tuple[str, str | None]:
    for role, pattern in _WORDS.items():
        match = pattern.search(stem.lower())
        if match:
            rest = (_SEPARATORS.sub("", stem[: match.start()]),
                    _SEPARATORS.sub("", stem[match.end() :]))
            return "_".join(part for part in rest if part), role
    return stem, None
