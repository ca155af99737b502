"""Which pictures `--input` means, and where under `--output` the answers to each of them go."""

import collections
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from typing import NamedTuple

from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.png_file import is_marked

# HEIC, which only some installations read, is named as unreadable rather than passed over.
SUFFIXES = frozenset((".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jp2", ".jpeg", ".jpg",
                      ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"))
VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"))

_NAMED = 3  # of what is left out


class Entry(NamedTuple):
    """A picture file, and its path under the output folder without a suffix."""

    path: pathlib.Path
    stem: pathlib.PurePath


def list_pictures(
    source: str | os.PathLike, output: str | os.PathLike,
    say: Callable[[str], None] = lambda line: None,
) -> list[Entry]:
    """Lists the pictures of a file, a folder or a list, each once.

    What `mai_depth.predict` wrote itself is not a picture, wherever it lies.

    Args:
        source: A picture; a folder, which is searched with its subfolders for the suffixes of
            pictures (hidden files, links to folders, `output` itself and a `depth` beside an
            `rgb` are passed over); or a `.txt` with one path a line, relative to the list, where
            empty lines and lines with # at the start do not count.
        output: The folder for the answers. The tree of `source` is kept in it, also that of
            listed files outside the list's own folder.
        say: Called with what was left out, a line for each kind.

    Returns:
        The pictures; two files of one name keep their suffix in the stem (`a_jpg`, `a_png`).

    Raises:
        UserError: Missing, unreadable, without a picture, or two would have the same output.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    if source.is_dir():
        paths, root = _search(source, output, say), source
    elif source.suffix.lower() == ".txt":
        paths, root = _read_list(source), source.parent
    elif source.exists():
        paths, root = [source], source.parent
    else:
        raise UserError(f"--input={source}: no such file or folder")
    return _entries(_without_answers(source, paths, say), root)


def _without_answers(
    source: pathlib.Path, paths: list[pathlib.Path], say: Callable[[str], None]
) -> list[pathlib.Path]:
    answers = {path for path in paths if path.suffix.lower() == ".png" and is_marked(path)}
    if len(answers) == len(set(paths)):
        raise UserError(f"--input={source}: only earlier results of mai_depth.predict; "
                        "give photos")
    if answers:
        say(f"{len(answers)} earlier results of mai_depth.predict left out ({_named(answers)})")
    return [path for path in paths if path not in answers]


def _named(paths: Iterable[pathlib.Path]) -> str:
    names = sorted(path.name for path in paths)
    return ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])])


def _search(
    folder: pathlib.Path, output: pathlib.Path, say: Callable[[str], None]
) -> list[pathlib.Path]:
    if folder.resolve() == output.resolve():
        raise UserError(f"--output={output}: this is the input folder; give another one, so that "
                        "answers are not taken for pictures")
    found, videos = [], []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        here = pathlib.Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".")
                            and (here / name).resolve() != output.resolve())
        if {"rgb", "depth"} <= set(folders):  # a training folder
            folders.remove("depth")
            say(f"{here / 'depth'} left out: the depth of {here / 'rgb'}")
        paths = [here / name for name in sorted(files) if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in SUFFIXES]
        videos += [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        say(f"{len(videos)} videos left out ({_named(videos)}); give each as --input")
    if not found:
        raise UserError(f"--input={folder}: no pictures in this folder")
    return found


def _read_list(path: pathlib.Path) -> list[pathlib.Path]:
    try:
        # Notepad begins a file with a byte order mark.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise UserError(f"--input={path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--input={path}: not UTF-8 text (UTF-16 from Windows?); save it as UTF-8, "
                        "one picture a line") from error
    paths = [_listed(path, line) for line in lines if line and not line.startswith("#")]
    if not paths:
        raise UserError(f"--input={path}: the list is empty")
    return paths


def _listed(path: pathlib.Path, line: str) -> pathlib.Path:
    try:
        picture = expand(line, "input")
    except UserError as error:
        raise UserError(f"--input={path}: {str(error).removeprefix('--input=')}") from error
    if picture.name in ("", ".."):
        raise UserError(f"--input={path}: {line} in it is a folder; a list names pictures, one "
                        "a line")
    return path.parent / picture


def _entries(paths: Iterable[pathlib.Path], root: pathlib.Path) -> list[Entry]:
    once: dict[str, pathlib.Path] = {}
    for path in paths:
        once.setdefault(os.path.abspath(path), path)  # photo.jpg and ./photo.jpg are the same
    relative = {path: _under(path, root) for path in once.values()}
    names = collections.Counter(place.with_suffix("") for place in relative.values())
    entries = [
        Entry(path, place.with_suffix("") if names[place.with_suffix("")] == 1
              else place.with_name(f"{place.stem}_{place.suffix[1:]}"))
        for path, place in relative.items()
    ]
    taken: dict[pathlib.PurePath, pathlib.Path] = {}
    for entry in entries:
        other = taken.setdefault(entry.stem, entry.path)
        if other != entry.path:
            raise UserError(f"{entry.path} and {other} would have the same output; rename one")
    return entries


def _under(path: pathlib.Path, root: pathlib.Path) -> pathlib.PurePath:
    """The path from `root`, or from the file system's root for what lies elsewhere."""
    absolute = pathlib.Path(os.path.abspath(path))
    try:
        return absolute.relative_to(os.path.abspath(root))
    except ValueError:
        return absolute.relative_to(absolute.anchor)


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be listed ({error.strerror}); change its permissions"
                    ) from error
