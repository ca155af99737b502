"""The labelling loop, which goes on after a picture that cannot be labelled."""

import functools
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mai_depth.atomic import FULL
from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.errors import UserError
from mai_depth.label.frames import thinned
from mai_depth.label.labelled_folder import LabelledFolder
from mai_depth.label.labelled_folder import flat_names
from mai_depth.label.teachers import Teacher
from mai_depth.label.teachers import UselessTeacher
from mai_depth.label.teachers import ask
from mai_depth.label.view import is_view
from mai_depth.label.view import middle
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.picture_list import Entry
from mai_depth.predict.placement import from_network
from mai_depth.predict.placement import place
from mai_depth.predict.placement import to_network


class Unlabelled(NamedTuple):
    """A picture without a label.

    Attributes:
        name: Name of the pair.
        open: Returns the picture.
        path: Its file; None for a frame of a video.
    """

    name: str
    open: Callable[[], CameraPicture]
    path: Path | None = None


class Outcome(NamedTuple):
    """The result of labelling one picture.

    Attributes:
        name: Name of the pair.
        lines: Messages for the user.
        skipped: Whether it got no label.
    """

    name: str
    lines: list[str]
    skipped: bool = False


def left_to_label(
    entries: Sequence[Entry], folder: LabelledFolder
) -> tuple[list[tuple[str, Path]], int]:
    """Finds the pictures that have no label yet.

    Args:
        entries: From `list_pictures`.
        folder: Where the labels go.

    Returns:
        Their names and files, and the number of labelled ones.

    Raises:
        UserError: Two would have the same name.
    """
    names = flat_names(entry.stem for entry in entries)
    todo = [(name, entry.path) for name, entry in zip(names, entries, strict=True)
            if not folder.has(name)]
    return todo, len(names) - len(todo)


def unlabelled_pictures(entries: Sequence[Entry], folder: LabelledFolder) -> Iterator[Unlabelled]:
    """Yields the pictures that have no label yet, with a progress bar.

    Args:
        entries: From `list_pictures`.
        folder: Where the labels go.

    Yields:
        One picture at a time.

    Raises:
        UserError: Two would have the same name.
    """
    todo, done = left_to_label(entries, folder)
    for name, path in tqdm(todo, initial=done, total=done + len(todo), unit="picture"):
        yield unlabelled_picture(name, path)


def unlabelled_picture(name: str, path: Path) -> Unlabelled:
    """Wraps a picture file that has no label."""
    return Unlabelled(name, functools.partial(read_picture, path), path)


def unlabelled_frames(
    stem: str, frames: Iterable[np.ndarray], count: int | None, folder: LabelledFolder
) -> Iterator[Unlabelled]:
    """Yields the frames of a video that differ and have no label yet, with a progress bar.

    Which ones differ does not depend on where an earlier run was stopped.

    Args:
        stem: The start of the names; the frame's number follows.
        frames: RGB uint8 [height, width, 3] each.
        count: Number of frames; None if unknown.
        folder: Where the labels go.

    Yields:
        One frame at a time.

    Raises:
        UserError: There is no frame.
    """
    number = None
    for number, frame in thinned(tqdm(frames, total=count, unit=" frames")):
        name = f"{stem}_{number:06d}"
        if not folder.has(name):
            yield Unlabelled(name, functools.partial(from_array, frame))
    if number is None:
        raise UserError(f"--input: {stem} has no frame that can be read; replace the video")


def label(
    unlabelled: Iterable[Unlabelled], folder: LabelledFolder, teachers: Sequence[Teacher],
    say: Callable[[str], None],
) -> int:
    """Labels pictures and skips those that cannot be labelled.

    Args:
        unlabelled: The pictures.
        folder: Where the pairs go.
        teachers: The teachers to ask.
        say: Called with one line for each skipped picture.

    Returns:
        The number of skipped pictures.

    Raises:
        UserError: A teacher's answer is not a depth map.
        OSError: The disk is full.
    """
    skipped = 0
    for picture in unlabelled:
        outcome = label_picture(picture, folder, teachers)
        skipped += outcome.skipped
        for line in outcome.lines:
            say(line)
    return skipped


def label_picture(
    picture: Unlabelled, folder: LabelledFolder, teachers: Sequence[Teacher]
) -> Outcome:
    """Labels one picture.

    Args:
        picture: The picture.
        folder: Where the pair goes.
        teachers: The teachers to ask.

    Returns:
        The result.

    Raises:
        UserError: A teacher's answer is not a depth map.
        OSError: The disk is full.
    """
    said: list[str] = []
    try:
        _label_one(picture, folder, teachers, said.append)
    except UselessTeacher:
        raise
    except UserError as error:
        return Outcome(
            picture.name, [*said, f"skipped: {_with_place(str(error), picture)}"], True)
    except OSError as error:
        if error.errno is None or error.errno in FULL:
            raise
        line = _with_place(f"cannot be written ({error.strerror})", picture)
        return Outcome(picture.name, [*said, f"skipped: {line}"], True)
    return Outcome(picture.name, said)


def _label_one(
    picture: Unlabelled, folder: LabelledFolder, teachers: Sequence[Teacher],
    say: Callable[[str], None],
) -> None:
    view = middle(picture.open().rgb)
    placement = place(view.size, (WIDTH, HEIGHT), "stretch")
    seen = to_network(CameraPicture(view, view.size), placement, (WIDTH, HEIGHT))
    answer, contradicting = ask(teachers, seen)
    if not np.ptp(answer) and not folder.is_metric:
        raise UserError("the teachers see no depth in it")
    for name in contradicting:
        say(_with_place(f"{name} contradicts the metric teachers and is left out here", picture))
    original = picture.path if picture.path and is_view(picture.path) else None
    folder.add(picture.name, view, from_network(answer, placement, view.size), original)


def _with_place(message: str, picture: Unlabelled) -> str:
    place = str(picture.path or picture.name)
    return message if place in message else f"{place}: {message}"
